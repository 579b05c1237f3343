package client

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// nextCursor returns the cursor of the next page: the one in the link with rel="next" (RFC 8288). It returns "" after
// the last page. Only the cursor is taken from the link, never the address: the next request goes where this one went.
func nextCursor(h http.Header) (string, error) {
	for _, value := range h.Values("Link") {
		for rest := trimSeparators(value); rest != ""; {
			target, rels, after, err := cutLink(rest)
			if err != nil {
				return "", err
			}
			if slices.ContainsFunc(rels, func(rel string) bool { return strings.EqualFold(rel, "next") }) {
				return cursorIn(target)
			}
			rest = trimSeparators(after)
		}
	}
	return "", nil
}

func cursorIn(target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", errors.New("its link to the next page is no URL")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil || q.Get("cursor") == "" {
		return "", errors.New("its link to the next page has no cursor")
	}
	return q.Get("cursor"), nil
}

// trimSeparators removes what may stand between two links. Empty elements of the list are allowed.
func trimSeparators(s string) string { return strings.TrimLeft(s, ", \t") }

// cutLink reads the link at the beginning of value: its target, its relation types, and what comes after it.
func cutLink(value string) (target string, rels []string, after string, err error) {
	broken := errors.New("its Link header cannot be read")
	value, ok := strings.CutPrefix(value, "<")
	if !ok {
		return "", nil, "", broken
	}
	if target, value, ok = strings.Cut(value, ">"); !ok {
		return "", nil, "", broken
	}
	for seenRel := false; ; {
		value = strings.TrimLeft(value, " \t")
		if value == "" || value[0] == ',' {
			return target, rels, value, nil
		}
		if value, ok = strings.CutPrefix(value, ";"); !ok {
			return "", nil, "", broken
		}
		name, param, rest, ok := cutParameter(value)
		if !ok {
			return "", nil, "", broken
		}
		// Of several rel parameters the first one counts (RFC 8288, section 3.3).
		if strings.EqualFold(name, "rel") && !seenRel {
			seenRel, rels = true, strings.Fields(param)
		}
		value = rest
	}
}

// cutParameter reads name, name=token or name="quoted \" text", and what comes after it.
func cutParameter(s string) (name, value, after string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	end := strings.IndexAny(s, "=;,")
	if end < 0 {
		end = len(s)
	}
	name, s = strings.TrimRight(s[:end], " \t"), s[end:]
	s, hasValue := strings.CutPrefix(s, "=")
	if !hasValue {
		return name, "", s, true
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return name, strings.TrimRight(s[:end], " \t"), s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return name, b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", "", false
}
