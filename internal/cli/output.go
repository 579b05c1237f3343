package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/api"
)

// marshal returns v as the API writes it, spread over lines that begin with prefix, and safe for a terminal.
func marshal(v any, prefix string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return visibleJSON(bytes.TrimRight(b.Bytes(), "\n")), nil
}

func printJSON(w io.Writer, v any) error {
	b, err := marshal(v, "")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// fields are lines of a name and a value.
type fields [][2]string

func (f *fields) add(name, value string) { *f = append(*f, [2]string{name, visible(value)}) }

func (f fields) print(w io.Writer) error {
	longest := 0
	for _, field := range f {
		longest = max(longest, len(field[0]))
	}
	var b strings.Builder
	for _, field := range f {
		fmt.Fprintf(&b, "%-*s  %s\n", longest, field[0], field[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func timeOrNever(t *api.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(api.TimeLayout)
}

// ago says roughly how long ago a time was.
func ago(t *api.Time, now time.Time) string {
	if t == nil {
		return "never"
	}
	switch d := now.Sub(t.Time); {
	case d < time.Minute:
		return "just now" // also where this machine's clock is behind
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	default:
		return fmt.Sprintf("%dd ago", d/(24*time.Hour))
	}
}

// day returns the date of a time.
func day(t api.Time) string { return t.UTC().Format(time.DateOnly) }

// orDash returns the text, and a dash where there is none.
func orDash(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func dashIfEmpty(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func idOrDash(id *int64) string {
	if id == nil {
		return "-"
	}
	return fmt.Sprint(*id)
}
