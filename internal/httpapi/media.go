package httpapi

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/apikeyd/apikeyd/api"
)

const (
	typeJSON       = "application/json"
	typeMergePatch = "application/merge-patch+json"
)

// acceptsJSON reports whether the Accept header lets an answer be JSON (RFC 9110, section 12.5.1): of the ranges that
// match, the most specific one says, and a weight of 0 is a no.
func acceptsJSON(h http.Header) bool {
	lines := h["Accept"]
	switch {
	case len(lines) == 0:
		return true
	case len(lines) == 1 && (lines[0] == "*/*" || lines[0] == typeJSON || lines[0] == ""):
		return true // what nearly every program sends
	}
	best, weight := -1, 0.0
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			specific, q, ok := matchRange(part)
			switch {
			case !ok || specific < best:
			case specific > best:
				best, weight = specific, q
			default:
				weight = max(weight, q)
			}
		}
	}
	return weight > 0
}

// matchRange says how specifically a media range describes our JSON, and with what weight; false where it does not.
func matchRange(text string) (specific int, q float64, ok bool) {
	name, parameters, err := mime.ParseMediaType(text)
	if err != nil {
		return 0, 0, false
	}
	q = 1
	if text, weighted := parameters["q"]; weighted {
		if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
			return 0, 0, false
		}
		delete(parameters, "q")
	}
	switch name {
	case "*/*":
		return 0, q, true
	case "application/*":
		return 1, q, true
	case typeJSON:
		if len(parameters) == 0 {
			return 2, q, true
		}
		return 3, q, onlyUTF8(parameters)
	default:
		return 0, 0, false
	}
}

// checkContentType says what is wrong with the declared type of a body.
func checkContentType(h http.Header, consumes []string) error {
	if codings := h["Content-Encoding"]; len(codings) > 0 && !strings.EqualFold(strings.Join(codings, ","), "identity") {
		return &problem{code: api.CodeUnsupportedMediaType, hangUp: true,
			detail: "the body must not be compressed or otherwise encoded"}
	}
	lines := h["Content-Type"]
	if len(lines) == 1 {
		if slices.Contains(consumes, lines[0]) {
			return nil
		}
		name, parameters, err := mime.ParseMediaType(lines[0])
		for _, want := range consumes {
			if err == nil && name == want && onlyUTF8(parameters) {
				return nil
			}
		}
	}
	return &problem{code: api.CodeUnsupportedMediaType, hangUp: true,
		detail: "the header Content-Type must be " + strings.Join(consumes, " or ")}
}

// onlyUTF8 reports whether the parameters of a media type ask for nothing but UTF-8.
func onlyUTF8(parameters map[string]string) bool {
	for name, text := range parameters {
		if name != "charset" || !strings.EqualFold(text, "utf-8") {
			return false
		}
	}
	return true
}
