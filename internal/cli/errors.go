package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// errAnswered is the error of a command whose printed answer says all there is to say, and is a no.
var errAnswered = errors.New("the answer is no")

// aboutError is an error about one thing: "key 17: …".
type aboutError struct {
	what string
	id   int64
	err  error
}

func (e *aboutError) Error() string { return fmt.Sprintf("%s %d: %v", e.what, e.id, e.err) }
func (e *aboutError) Unwrap() error { return e.err }

// about returns nil for nil.
func about(what noun, id int64, err error) error {
	if err == nil {
		return nil
	}
	return &aboutError{what.one, id, err}
}

// severalErrors are the errors of a command that goes through several things.
type severalErrors []error

func (e severalErrors) Error() string   { return errors.Join(e...).Error() }
func (e severalErrors) Unwrap() []error { return e }

// PrintError prints err for a person: what was wrong, what is right, and each fault on a line of its own. It prints
// nothing for nil. Whatever a server put into the error is escaped.
func PrintError(w io.Writer, err error) {
	if err == nil || errors.Is(err, errAnswered) || errors.Is(err, ErrFound) || errors.Is(err, ErrFaulty) {
		return
	}
	all, several := errors.AsType[severalErrors](err)
	if !several {
		all = severalErrors{err}
	}
	for _, one := range all {
		lines := explain(one)
		fmt.Fprintf(w, "apikeyd: %s\n", visible(masked(lines[0])))
		for _, line := range lines[1:] {
			fmt.Fprintf(w, "  %s\n", visible(masked(line)))
		}
	}
	if usage, ok := errors.AsType[*usageError](err); ok && usage.command != "" {
		fmt.Fprintf(w, "See %q.\n", usage.command+" --help")
	}
}

// tokenShaped matches what could be a token, or a good part of one, and the secret end of a one-time link.
var tokenShaped = regexp.MustCompile(`[0-9A-Za-z_]*_[0-9A-Za-z]{16,}|/sign-in/[0-9A-Za-z_-]{8,}`)

// masked returns text without what could be a token or a link: one that was given in the wrong place must not be repeated in
// the log of whatever runs the command.
func masked(text string) string { return tokenShaped.ReplaceAllString(text, "…") }

// explain returns the lines that say what is wrong, at least one.
func explain(err error) []string {
	if about, ok := errors.AsType[*aboutError](err); ok {
		lines := explain(about.err)
		lines[0] = fmt.Sprintf("%s %d: %s", about.what, about.id, lines[0])
		return lines
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return strings.Split(err.Error(), "\n")
	}
	if problem, ok := errors.AsType[*api.Error](err); ok {
		return explainProblem(problem)
	}
	if foreign, ok := errors.AsType[*client.ResponseError](err); ok {
		return []string{foreign.Error(), "Is this the address of an apikeyd, and of the right listener?"}
	}
	if errors.Is(err, context.Canceled) {
		return []string{"interrupted"}
	}
	if broken, ok := errors.AsType[*url.Error](err); ok {
		return []string{fmt.Sprintf("cannot reach %s: %v", origin(broken.URL), broken.Err)}
	}
	return strings.Split(err.Error(), "\n")
}

func explainProblem(p *api.Error) []string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	lines := []string{strings.TrimSpace(fmt.Sprintf("%s (%s)", text, p.Code))}
	for _, f := range p.Errors {
		lines = append(lines, place(f.Pointer)+": "+f.Detail)
	}
	if len(p.KeyIDs) > 0 {
		lines = append(lines, "keys "+joinIDs(p.KeyIDs), "--keys delete deletes them, --keys transfer makes them yours")
	}
	if p.RequestID != "" {
		lines = append(lines, "request "+p.RequestID)
	}
	return lines
}

// flagsOf names the flag behind each field of a request, or what the command line calls it where it is none.
var flagsOf = map[string]string{
	"action":            "--action",
	"actor_key_id":      "--actor-key",
	"actor_user_id":     "--actor-user",
	"current_password":  "current password",
	"email":             "--email",
	"external_id":       "--external-id",
	"from":              "--from",
	"keys":              "--keys",
	"link":              "--link",
	"new_password":      "new password",
	"organization_name": "--name",
	"outcome":           "--outcome",
	"password":          "password",
	"role":              "--role",
	"target_id":         "--target-id",
	"target_type":       "--target-type",
	"to":                "--to",
	"key_name":          "--name",
	"key_scope":         "--scope",
	"organization_id":   "--organization",
	"enabled":           "--enabled",
	"expires_at":        "--expires-at",
	"metadata":          "--metadata",
	"grace_seconds":     "--grace",
	"limit":             "--limit",
	"limits":            "--limit",
	"quota":             "--quota",
	"allowed_cidrs":     "--allow",
	"q":                 "--query",
	"scope":             "--scope",
}

// place says in the words of the command line where a fault is: "/key_scope/1" is "--scope, value 2", and "/limits/0/name"
// "--limit, value 1, at /name".
func place(pointer string) string {
	field, rest, nested := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	flag, known := flagsOf[field]
	if !known {
		return pointer
	}
	first, inside, deeper := strings.Cut(rest, "/")
	if i, err := strconv.ParseUint(first, 10, 31); nested && err == nil {
		flag, rest, nested = fmt.Sprintf("%s, value %d", flag, i+1), inside, deeper
	}
	if !nested {
		return flag
	}
	return flag + ", at /" + rest
}

// origin returns scheme and host of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Scheme + "://" + u.Host
}
