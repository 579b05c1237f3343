package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

func TestPrintError(t *testing.T) {
	for _, row := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errAnswered, ""},
		{errors.New("open \x1b[31m: no"), "apikeyd: open \\x1b[31m: no\n"},
		{UsageError(errors.New("first\nsecond")), "apikeyd: first\n  second\n"},
		{&usageError{"tool x", errors.New("first\nsecond")}, "apikeyd: first\n  second\nSee \"tool x --help\".\n"},
		{errors.Join(errors.New("one"), errors.New("two")), "apikeyd: one\n  two\n"},
		{&api.Error{Code: api.CodeNotFound, Title: "Not Found"}, "apikeyd: Not Found (not_found)\n"},
		{&api.Error{Code: api.CodeInternal}, "apikeyd: (internal)\n"},
		{fmt.Errorf("x: %w", &api.Error{
			Code: api.CodeInvalid, Detail: "2 faults", RequestID: "r",
			Errors: []api.Fault{{Pointer: "/grace_seconds", Detail: "too long"}, {Pointer: "", Detail: "no object"}},
		}), "apikeyd: 2 faults (invalid)\n  --grace: too long\n  : no object\n  request r\n"},
		{
			&aboutError{"key", 17, &client.ResponseError{Method: "GET", URL: "http://x/y", Status: 502, Reason: "it is text/html", Excerpt: "<p>"}},
			"apikeyd: key 17: GET http://x/y: answered 502 Bad Gateway: it is text/html: \"<p>\"\n" +
				"  Is this the address of an apikeyd, and of the right listener?\n",
		},
		{errors.New("what is https://keys.test/sign-in/" + linkSecret + "?"), "apikeyd: what is https://keys.test…?\n"},
		{&url.Error{Op: "Get", URL: "https://keys.test/v1/me?x=1", Err: errors.New("no route")}, "apikeyd: cannot reach https://keys.test: no route\n"},
		{&url.Error{Op: "Get", URL: "https://keys.test/v1/me", Err: context.Canceled}, "apikeyd: interrupted\n"},
		{severalErrors{&aboutError{"key", 1, errors.New("a")}, &aboutError{"key", 2, api.ErrNotFound}, errors.New("not tried: 3")},
			"apikeyd: key 1: a\napikeyd: key 2: (not_found)\napikeyd: not tried: 3\n"},
	} {
		var b bytes.Buffer
		PrintError(&b, row.err)
		equal(t, fmt.Sprintf("%#v", row.err), b.String(), row.want)
	}
}

func TestPlace(t *testing.T) {
	for pointer, want := range map[string]string{
		"/key_name":        "--name",
		"/key_scope":       "--scope",
		"/key_scope/0":     "--scope, value 1",
		"/metadata/a/b":    "--metadata, at /a/b",
		"/unknown/1":       "/unknown/1",
		"":                 "",
		"/key_scope/-1":    "--scope, at /-1",
		"/organization_id": "--organization",
	} {
		equal(t, pointer, place(pointer), want)
	}
}
