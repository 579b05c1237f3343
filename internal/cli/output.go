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

// printKey prints a key in the given format; token is "" but for a key whose token was just handed out.
func (s *session) printKey(format string, k api.Key, token string) error {
	switch {
	case format == formatToken:
		_, err := fmt.Fprintln(s.Out, visible(token))
		return err
	case format == formatJSON && token != "":
		return printJSON(s.Out, api.CreatedKey{Key: k, Token: token})
	case format == formatJSON:
		return printJSON(s.Out, k)
	}
	var f fields
	f.add("ID", fmt.Sprint(k.KeyID))
	f.add("Name", k.KeyName)
	if token != "" {
		f.add("Token", token)
	}
	f.add("Hint", k.KeyHint)
	f.add("Scopes", joinScopes(k.KeyScope, ", "))
	f.add("Organization", fmt.Sprint(k.OrganizationID))
	f.add("User", fmt.Sprint(k.UserID))
	f.add("State", state(k, s.now()))
	f.add("Expires", timeOrNever(k.ExpiresAt))
	f.add("Last used", timeOrNever(k.LastUsedAt))
	f.add("Created", timeOrNever(&k.CreatedAt))
	f.add("Updated", timeOrNever(&k.UpdatedAt))
	f.add("Metadata", string(k.Metadata))
	return f.print(s.Out)
}

// state says in a word whether a key is good. Whether it is expired is judged by the clock of this machine.
func state(k api.Key, now time.Time) string {
	switch {
	case !k.Enabled:
		return "disabled"
	case k.ExpiresAt != nil && !now.Before(k.ExpiresAt.Time):
		return "expired"
	default:
		return "active"
	}
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

// noteShownOnce tells the person at the terminal, and no pipe, that the token will not come again.
func (s *session) noteShownOnce() {
	fmt.Fprintln(s.Err, "The token is shown this once; the server does not keep it.")
}
