package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The floors of what a proxy asks say as much as the server does.
func TestAllowing(t *testing.T) {
	headers := http.Header{"X-Apikey-Id": {"17"}, "X-Request-Id": {"abc"}}
	want := len("X-Apikey-Id: 17\r\nX-Request-Id: abc\r\n")
	for name, given := range map[string]http.Header{"the same": headers, "in one": inOne(headers)} {
		s := httptest.NewServer(allowingHandler(given))
		resp, err := http.Get(s.URL)
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for _, added := range []string{"Date", "Content-Length"} {
			resp.Header.Del(added)
		}
		if n := lengthOf(resp.Header); resp.StatusCode != http.StatusOK || len(resp.Header) != len(given) || n != want {
			t.Errorf("%s: %s, %d bytes of headers, want %d", name, resp.Status, n, want)
		}
	}
}
