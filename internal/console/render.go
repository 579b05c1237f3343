package console

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:embed templates
var sources embed.FS

// templates are the pages, each with the frame around it, which makes it large: it is parsed when it is first shown, and a server
// whose console nobody opens does without.
type templates map[string]func() *template.Template

// parts are the templates that pages are made with; all others are pages.
var parts = []string{"templates/frame.html", "templates/parts.html", "templates/key-parts.html", "templates/usage-parts.html", "templates/member-parts.html"}

// findTemplates returns the pages that there are. Where a template is wrong it panics, then or later, which the tests rule out.
func findTemplates(now func() time.Time) templates {
	functions := template.FuncMap{"sentence": sentence, "when": when, "precisely": precisely, "exact": exact,
		"ago": func(t time.Time) string { return ago(now(), t) }}
	frame := template.Must(template.New("frame.html").Funcs(functions).ParseFS(sources, parts...))
	files, err := fs.Glob(sources, "templates/*.html")
	if err != nil {
		panic(err)
	}
	t := templates{}
	for _, file := range files {
		if !slices.Contains(parts, file) {
			t[strings.TrimSuffix(path.Base(file), ".html")] = sync.OnceValue(func() *template.Template {
				return template.Must(template.Must(frame.Clone()).ParseFS(sources, file))
			})
		}
	}
	return t
}

// show answers with a page.
func (c *Console) show(v *visit, status int, name string, f frame) error {
	if f.Note == "" {
		f.Note = noteText(note(v.r.URL.Query().Get(noteParameter)))
	}
	var body bytes.Buffer
	if err := c.templates[name]().Execute(&body, c.layout(v, f)); err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(body.Bytes()) // a reader who is gone does not miss it
	}
	return nil
}

// note names a sentence about what has just been done. It stands in the address of the page that says it, where anybody can
// put it, so it says nothing else.
type note string

const noteParameter = "note"

// noteText returns what a note says, "" for one that is none of ours.
func noteText(n note) string {
	for _, known := range []map[note]string{
		signInNotes,
		accountNotes,
		passwordNotes,
		keyNotes,
		organizationNotes,
		memberNotes,
	} {
		if text, ok := known[n]; ok {
			return text
		}
	}
	return ""
}

// sentence makes a sentence of what a use case says: "must be …" is "Must be …."
func sentence(detail string) string {
	first, size := utf8.DecodeRuneInString(detail)
	if size == 0 {
		return ""
	}
	detail = string(unicode.ToUpper(first)) + detail[size:]
	if strings.HasSuffix(detail, ".") {
		return detail
	}
	return detail + "."
}

// isolated is a name within a sentence: one that is written from right to left does not turn around what stands beside it (Unicode
// Standard Annex 9, isolates).
func isolated(name string) string { return "“\u2068" + name + "\u2069”" }

// A time for people, one that leaves nothing out, and one for programs.
func when(t time.Time) string      { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }
func precisely(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }
func exact(t time.Time) string     { return t.UTC().Format(time.RFC3339) }

// ago says how long ago a time was, or how long it is until then.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	past := d >= 0
	if !past {
		d = -d
	}
	const day = 24 * time.Hour
	var n time.Duration
	var unit string
	switch {
	case d < time.Minute:
		if past {
			return "just now"
		}
		return "in a moment"
	case d < time.Hour:
		n, unit = d/time.Minute, "minute"
	case d < 2*day:
		n, unit = d/time.Hour, "hour"
	case d < 60*day:
		n, unit = d/day, "day"
	default:
		return t.UTC().Format("2 Jan 2006")
	}
	text := strconv.Itoa(int(n)) + " " + unit
	if n != 1 {
		text += "s"
	}
	if past {
		return text + " ago"
	}
	return "in " + text
}
