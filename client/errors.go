package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/api"
)

// maxExcerpt bounds, in characters, how much of a foreign answer an error shows.
const maxExcerpt = 200

// ResponseError is an answer that is not apikeyd's own: a proxy's error page, a redirect, a success that makes no
// sense. What the server itself refuses is an *api.Error.
type ResponseError struct {
	Method  string // of the request
	URL     string // of the request
	Status  int    // the HTTP status code
	Reason  string // why the answer is not taken
	Excerpt string // how the body begins, without secrets; may be empty

	// Code is what the status amounts to, so that errors.Is(err, api.ErrRateLimited) holds for a proxy's 429 too.
	// It is "" for a status without a code, and for 404 and 503: not_found and unavailable promise something about
	// the server's state (the key is gone; nothing was done) that only the server knows.
	Code api.Code
}

// Error gives the request, the status, the reason and the excerpt, on one line.
func (e *ResponseError) Error() string {
	s := fmt.Sprintf("%s %s: answered %d", e.Method, e.URL, e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	s += ": " + e.Reason
	if e.Excerpt != "" {
		s += fmt.Sprintf(": %q", e.Excerpt)
	}
	return s
}

// Is reports whether target is an *api.Error with the same code.
func (e *ResponseError) Is(target error) bool {
	t, ok := target.(*api.Error)
	return ok && e.Code != "" && t.Code == e.Code
}

// foreign describes an answer that is not apikeyd's.
func (c *conn) foreign(r request, a answer, reason string) *ResponseError {
	e := &ResponseError{Method: r.method, URL: c.url(r), Status: a.status, Reason: reason}
	if a.status != http.StatusNotFound && a.status != http.StatusServiceUnavailable {
		e.Code = api.CodeForStatus(a.status)
	}
	// A success in JSON may hold a new token, and what is left of a broken one says nothing to anybody.
	if success := a.status >= 200 && a.status < 300; !success || !isJSON(a.mediaType) {
		e.Excerpt = c.excerpt(r, a.body)
	}
	return e
}

func (c *conn) excerpt(r request, body []byte) string {
	text := c.scrub(r, strings.ToValidUTF8(string(body), "\uFFFD"))
	text = tokenShaped.ReplaceAllString(text, redacted)
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > maxExcerpt {
		text = string([]rune(text)[:maxExcerpt]) + "…"
	}
	return text
}

// problem reads a problem document. It returns an error that says why the answer is none.
func (c *conn) problem(r request, a answer) (*api.Error, error) {
	if a.mediaType != "application/problem+json" {
		return nil, fmt.Errorf("it is not a problem document but %s", orNothing(a.mediaType))
	}
	e := new(api.Error)
	if err := json.Unmarshal(a.body, e); err != nil {
		return nil, fmt.Errorf("its problem document %s", faultOf(err))
	}
	if e.Code == "" {
		return nil, errors.New("its problem document has no code, so it is not apikeyd's")
	}
	if e.Status == 0 {
		e.Status = a.status
	}
	for _, s := range []*string{&e.Type, &e.Title, &e.Detail, (*string)(&e.Code), &e.RequestID} {
		*s = c.scrub(r, *s)
	}
	for i := range e.Errors {
		e.Errors[i].Pointer = c.scrub(r, e.Errors[i].Pointer)
		e.Errors[i].Detail = c.scrub(r, e.Errors[i].Detail)
	}
	return e, nil
}

// faultOf says what is wrong with JSON, in words that hold no part of it: it may be a token.
func faultOf(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Sprintf("has the wrong type at %q", wrongType.Field)
	case errors.As(err, &wrongType):
		return "has the wrong type"
	default:
		return "is cut off or no JSON"
	}
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// mediaTypeOf returns the media type in lower case without parameters, or "" where there is none worth repeating.
func mediaTypeOf(h http.Header) string {
	const longest = 127 + len("/") + 127 // RFC 6838, section 4.2
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(t) > longest {
		return ""
	}
	return t
}

func orNothing(mediaType string) string {
	if mediaType == "" {
		return "of no declared type"
	}
	return mediaType
}
