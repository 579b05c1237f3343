package console

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:embed templates
var sources embed.FS

// templates are the pages, each with the frame around it.
type templates map[string]*template.Template

// parseTemplates panics where a template is wrong, which the tests rule out.
func parseTemplates(names ...string) templates {
	frame := template.Must(template.New("frame.html").Funcs(template.FuncMap{"sentence": sentence, "when": when, "exact": exact}).
		ParseFS(sources, "templates/frame.html", "templates/parts.html"))
	t := templates{}
	for _, name := range names {
		t[name] = template.Must(template.Must(frame.Clone()).ParseFS(sources, "templates/"+name+".html"))
	}
	return t
}

// frame is what every page has around it.
type frame struct {
	Title       string
	Style, Icon string // addresses
	User        string // e-mail address of who has signed in; "": nobody, or it does not matter
	Note        string // what has just been done
	Narrow      bool   // a page with little on it
	Main        any    // what the page is about
}

// show answers with a page.
func (c *Console) show(v *visit, status int, name string, f frame) error {
	f.Style, f.Icon = c.style.Address(), c.icon.Address()
	if f.Note == "" {
		f.Note = notes[note(v.r.URL.Query().Get(noteParameter))]
	}
	var body bytes.Buffer
	if err := c.templates[name].Execute(&body, f); err != nil {
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

const (
	noteEnded     note = "ended"
	noteSignedOut note = "signed-out"
	noteLink      note = "link"
	notePassword  note = "password"
	noteSession   note = "session"
	noteConnected note = "connected"
)

var notes = map[note]string{
	noteEnded:     "Your session has ended. Sign in again to go on.",
	noteSignedOut: "You are signed out.",
	noteLink:      "If somebody here has that e-mail address, a mail with a link is on its way. The link works once, and for 15 minutes.",
	notePassword:  "Your password is set. All your other sessions have ended.",
	noteSession:   "The session has ended.",
	noteConnected: "You can now sign in this way, too.",
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

// when is a time for people, exact one for programs.
func when(t time.Time) string  { return t.UTC().Format("2 January 2006, 15:04 UTC") }
func exact(t time.Time) string { return t.UTC().Format(time.RFC3339) }
