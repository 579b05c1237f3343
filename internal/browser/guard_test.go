package browser

import (
	"net/http"
	"testing"
)

func TestGuard(t *testing.T) {
	guards := map[string]*Guard{}
	for _, url := range []string{"", "https://keys.example", "HTTPS://Keys.Example:443/base", "http://keys.example:80", "https://keys.example:8443"} {
		g, err := NewGuard(url)
		if err != nil {
			t.Fatal(err)
		}
		guards[url] = g
	}
	for _, c := range []struct {
		name      string
		publicURL string
		method    string
		site      string // Sec-Fetch-Site
		origin    string
		ok        bool
	}{
		{"no browser", "", "POST", "", "", true},
		{"this site", "", "POST", "same-origin", "http://internal:8080", true},
		{"this site, by an old browser", "", "POST", "", "http://internal:8080", true},
		{"the person", "", "DELETE", "none", "", true},
		{"another site", "", "POST", "cross-site", "https://evil.example", false},
		{"another site that hides its origin", "", "PUT", "cross-site", "", false},
		{"another site that hides where it is", "", "PATCH", "", "https://evil.example", false},
		{"a neighbour", "", "POST", "same-site", "http://internal:9000", false},
		{"a neighbour, by an old browser", "", "POST", "", "http://internal:9000", false},
		{"a host that begins alike", "", "POST", "", "http://internal:8080.evil.example", false},
		{"an opaque origin", "", "POST", "cross-site", "null", false},
		{"an opaque origin, by an old browser", "", "DELETE", "", "null", false},
		{"an origin that is none", "", "POST", "", "::", false},
		{"a Sec-Fetch-Site that nobody knows", "", "POST", "next-door", "", false},
		{"only looking", "", "GET", "cross-site", "https://evil.example", true},
		{"only looking at the head", "", "HEAD", "cross-site", "null", true},

		{"the public address", "https://keys.example", "POST", "", "https://keys.example", true},
		{"the public address, unlike the proxy's", "https://keys.example", "POST", "cross-site", "https://keys.example", true},
		{"the public address by HTTP", "https://keys.example", "POST", "", "http://keys.example", false},
		{"below the public address", "https://keys.example", "POST", "", "https://x.keys.example", false},
		{"another port of the public address", "https://keys.example", "POST", "", "https://keys.example:444", false},
		{"another site than the public address", "https://keys.example", "POST", "", "https://evil.example", false},
		{"an opaque origin and a public address", "https://keys.example", "POST", "", "null", false},
		{"a public address written unusually", "HTTPS://Keys.Example:443/base", "POST", "", "https://keys.example", true},
		{"a public address by HTTP", "http://keys.example:80", "POST", "", "http://keys.example", true},
		{"a public address with a port", "https://keys.example:8443", "POST", "", "https://keys.example:8443", true},
		{"a public address with a port, without it", "https://keys.example:8443", "POST", "", "https://keys.example", false},
	} {
		r := &http.Request{Method: c.method, Host: "internal:8080", Header: http.Header{}}
		for name, text := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
			if text != "" {
				r.Header.Set(name, text)
			}
		}
		if err := guards[c.publicURL].Check(r); (err == nil) != c.ok || err != nil && err != ErrCrossSite {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, url := range []string{"keys.example", "https://", "://", "%"} {
		if _, err := NewGuard(url); err == nil {
			t.Errorf("a guard for %q", url)
		}
	}
}
