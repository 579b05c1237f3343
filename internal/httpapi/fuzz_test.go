package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/apikeyd/apikeyd/internal/key"
)

// Both ways of reading a check agree: what the quick one reads, the strict one reads as the same, and what is plain
// is read by the quick one.
func FuzzParseQuestion(f *testing.F) {
	for _, c := range badQuestions {
		f.Add([]byte(c.body))
		f.Add([]byte(`{"requests":[` + c.body + `]}`))
	}
	for _, body := range notJSON {
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"key":"ak_x","scope":"READ","organization_id":432,"ip":"203.0.113.9"}`))
	f.Add([]byte(`{"key":"ak_x","ip":"::ffff:203.0.113.9"}`))
	f.Add([]byte("\t{ \"ip\" : \"::1\" ,\r\n\"organization_id\":999999999999999999, \"scope\":\"MANAGE\",\"key\":\"\x7f\"} "))
	f.Add([]byte(`{"requests":[{"key":"a"},{"key":"b","organization_id":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		quick, rest, ok := parseQuestion(body)
		if ok && blank(rest) {
			strict, err := decodeQuestion(body)
			if err != nil || !same(quick, strict) {
				t.Errorf("%q: quick %+v, strict %+v, %v", body, quick, strict, err)
			}
		}
		batch, ok := parseBatch(body)
		if !ok {
			return
		}
		strict, err := decodeBatch(body)
		if err != nil || len(strict) != len(batch) {
			t.Fatalf("%q: quick %+v, strict %+v, %v", body, batch, strict, err)
		}
		for i := range batch {
			if !same(batch[i], strict[i]) {
				t.Errorf("%q: item %d: quick %+v, strict %+v", body, i, batch[i], strict[i])
			}
		}
	})
}

func same(a, b question) bool { return bytes.Equal(a.token, b.token) && a.Question == b.Question }

func TestPlainQuestionsAreReadQuickly(t *testing.T) {
	for _, body := range []string{
		`{"key":"ak_x"}`,
		`{"key":"ak_x","scope":"READ","organization_id":432,"ip":"203.0.113.9"}`,
		`{"ip":"2001:db8::1","organization_id":1,"scope":"MANAGE","key":""}`,
		" {\n\t\"key\" : \"a\" ,\r\n \"scope\" : \"READ\" } \n",
	} {
		if _, rest, ok := parseQuestion([]byte(body)); !ok || !blank(rest) {
			t.Errorf("left to the strict decoder: %s", body)
		}
		if _, ok := parseBatch([]byte(`{"requests": [` + body + ",\n" + body + `] }`)); !ok {
			t.Errorf("left to the strict decoder in a batch: %s", body)
		}
	}
}

// shapes are those of all bodies, each with what decodes into it.
var shapes = map[string]func(body []byte, f *faults) error{
	"new key":            decodeInto(newKey),
	"key patch":          decodeInto(keyPatch),
	"rotation":           decodeInto(rotateRequest),
	"new organization":   decodeInto(newOrganization),
	"organization patch": decodeInto(organizationPatch),
	"new member":         decodeInto(newMember),
	"member patch":       decodeInto(memberPatch),
	"new session":        decodeInto(newSession),
	"password":           decodeInto(passwordRequest),
	"link":               decodeInto(linkRequest),
}

func decodeInto[T any](s shape[T]) func([]byte, *faults) error {
	return func(body []byte, f *faults) error { return decode(body, s, new(T), f) }
}

// The strict decoder takes what encoding/json takes and less, points to places that exist or are missing, and
// never repeats a value.
func FuzzDecode(f *testing.F) {
	for _, c := range badBodies {
		if len(c.body) < 4096 {
			f.Add([]byte(c.body))
		}
	}
	for _, route := range bodies {
		f.Add([]byte(route.good))
		for _, c := range route.bad {
			if len(c.body) < 4096 {
				f.Add([]byte(c.body))
			}
		}
	}
	f.Add([]byte(valid))
	f.Add([]byte(with(`"metadata":{"a":{"b":[1,2,{"c":null}]}}`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		const secret = "Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7" // stands where a token may have been put
		body = bytes.ReplaceAll(body, []byte("a"), []byte(secret))
		for name, decodes := range shapes {
			var found faults
			err := decodes(body, &found)
			if err == nil {
				err = found.err()
			}
			var again map[string]json.RawMessage
			if err != nil {
				checkRefusal(t, name, body, err, secret)
			} else if err := json.Unmarshal(body, &again); err != nil {
				t.Errorf("%q was read as a %s: %v", body, name, err)
			}
		}
		var draft key.Draft
		var found faults
		if decode(body, newKey, &draft, &found) == nil && found.err() == nil && draft.OrganizationID < 1 {
			t.Errorf("%q was read as %+v", body, draft)
		}
	})
}

// checkRefusal fails the test unless the error says what is wrong with a body, at places, and repeats nothing of it.
func checkRefusal(t *testing.T, name string, body []byte, err error, secret string) {
	t.Helper()
	var p *problem
	if !errors.As(err, &p) || p.detail == "" {
		t.Fatalf("%s: %q: %v", name, body, err)
	}
	if strings.Contains(p.detail, secret[:16]) {
		t.Errorf("%s: %q is repeated in %q", name, body, p.detail)
	}
	seen := map[string]bool{}
	for _, fault := range p.faults {
		if strings.Contains(fault.Pointer+fault.Detail, secret[:16]) {
			t.Errorf("%s: %q is repeated in %+v", name, body, fault)
		}
		if !jsontext.Pointer(fault.Pointer).IsValid() || fault.Detail == "" || seen[fault.Pointer] {
			t.Errorf("%s: %q: fault %+v", name, body, fault)
		}
		seen[fault.Pointer] = true
	}
}

func TestPlain(t *testing.T) {
	for length := range 18 {
		for at := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte("a"), length)
				text[at] = byte(c)
				if want := c >= ' ' && c != '\\' && c < 0x80; plain(text) != want {
					t.Errorf("%q: %t", text, !want)
				}
			}
		}
	}
}
