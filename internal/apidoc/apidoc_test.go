package apidoc

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, method string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestHandlers(t *testing.T) {
	for name, h := range map[string]http.Handler{"OpenAPI": OpenAPI(), "Page": Page()} {
		t.Run(name, func(t *testing.T) {
			full, body := get(t, h, "GET")
			if full.StatusCode != 200 || body == "" {
				t.Fatalf("GET: %d with %d bytes", full.StatusCode, len(body))
			}
			etag := full.Header.Get("ETag")
			if !strings.HasPrefix(etag, `"`) || len(etag) < 20 {
				t.Errorf("ETag %s", etag)
			}
			for header, want := range map[string]string{"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"} {
				if got := full.Header.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}

			head, nothing := get(t, h, "HEAD")
			if head.StatusCode != 200 || nothing != "" {
				t.Errorf("HEAD: %d with %d bytes", head.StatusCode, len(nothing))
			}
			for _, header := range []string{"Content-Length", "Content-Type", "ETag"} {
				if head.Header.Get(header) != full.Header.Get(header) || head.Header.Get(header) == "" {
					t.Errorf("%s of HEAD is %q, of GET %q", header, head.Header.Get(header), full.Header.Get(header))
				}
			}

			for condition, want := range map[string]int{
				etag:                     304,
				"W/" + etag:              304,
				`"other", ` + etag:       304,
				"*":                      304,
				`"other"`:                200,
				strings.Trim(etag, `"`):  200,
				`W/"other", "different"`: 200,
			} {
				r, body := get(t, h, "GET", "If-None-Match", condition)
				if r.StatusCode != want {
					t.Errorf("If-None-Match: %s: %d, want %d", condition, r.StatusCode, want)
				}
				if r.StatusCode == 304 && (body != "" || r.Header.Get("ETag") != etag || r.Header.Get("Content-Type") != "") {
					t.Errorf("If-None-Match: %s: 304 with %d bytes and %v", condition, len(body), r.Header)
				}
			}
			if r, _ := get(t, h, "GET", "If-None-Match", `"other"`, "If-None-Match", etag); r.StatusCode != 304 {
				t.Errorf("two lines of If-None-Match: %d, want 304", r.StatusCode)
			}
		})
	}
}

func TestOpenAPIServesTheDocument(t *testing.T) {
	r, body := get(t, OpenAPI(), "GET")
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %s", got)
	}
	var d struct{ OpenAPI string }
	if err := json.Unmarshal([]byte(body), &d); err != nil || !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("version %q, error %v", d.OpenAPI, err)
	}
	if body != string(Document()) {
		t.Error("the handler and Document differ")
	}
	Document()[0] = 'x'
	if Document()[0] == 'x' {
		t.Error("a caller of Document can change the document")
	}
}
