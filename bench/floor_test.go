package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The floor of what a proxy asks says as much as the server does.
func TestPermissionIsAsLong(t *testing.T) {
	said := http.Header{"X-Apikey-Id": {"17"}, "X-Request-Id": {"abc"}, "Date": {"today"}, "Content-Length": {"0"}}
	if n := ownHeaders(said); n != len("X-Apikey-Id: 17\r\nX-Request-Id: abc\r\n") {
		t.Fatalf("%d bytes", n)
	}
	s := httptest.NewServer(headerHandler([]byte(strings.Repeat("x", padding(said)))))
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || ownHeaders(resp.Header) != ownHeaders(said) {
		t.Errorf("%s, %d bytes of headers, want %d", resp.Status, ownHeaders(resp.Header), ownHeaders(said))
	}
}
