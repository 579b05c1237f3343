package browser

import (
	"net/http"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/secret"
)

func TestCookies(t *testing.T) {
	session, device := secret.New(), secret.New()
	end := time.Date(2031, 2, 3, 4, 5, 6, 789e6, time.FixedZone("", 3600))
	var got []string
	for _, c := range append(SignedIn(session, device, end), SignedOut()...) {
		got = append(got, c.String())
	}
	for i, want := range []string{
		"__Host-apikeyd=" + session.Reveal() + "; Path=/; Expires=Mon, 03 Feb 2031 03:05:06 GMT; HttpOnly; Secure; SameSite=Lax",
		"__Host-apikeyd-device=" + device.Reveal() + "; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax",
		"__Host-apikeyd=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
	} {
		if i >= len(got) || got[i] != want {
			t.Errorf("cookies %q, want %q", got, want)
		}
	}
}

func TestCookiesAreReadBack(t *testing.T) {
	for _, c := range []struct{ name, cookie, session, device string }{
		{"none", "", "", ""},
		{"both", "__Host-apikeyd=a; __Host-apikeyd-device=b", "a", "b"},
		{"others", "apikeyd=a; apikeyd-device=b; __Secure-apikeyd=c; __host-apikeyd=d", "", ""},
		{"among others", "x=y; __Host-apikeyd=a", "a", ""},
		{"empty", "__Host-apikeyd=; __Host-apikeyd-device=", "", ""},
	} {
		r := &http.Request{Header: http.Header{"Cookie": {c.cookie}}}
		if s, d := Session(r), Device(r); s != c.session || d != c.device {
			t.Errorf("%s: session %q, device %q", c.name, s, d)
		}
	}
}
