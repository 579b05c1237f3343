package console

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/browser"
)

// broken is a provider that makes a mistake of ours.
type broken struct{}

func (broken) Begin(context.Context) (string, string, error) {
	return "", "", errors.New("a cause")
}

func (broken) Complete(context.Context, string, url.Values) (admin.Identity, error) {
	return admin.Identity{}, errors.New("a cause")
}

// A fault of ours is logged with its cause, and shown without.
func TestFaultOfOurs(t *testing.T) {
	guard, err := browser.NewGuard("")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := New(Options{Guard: guard, Provider: broken{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, p := range c.Pages() {
		if p.Pattern != oidcPath {
			continue
		}
		w := httptest.NewRecorder()
		w.Header().Set("X-Request-Id", "the-id")
		p.Handler.ServeHTTP(w, httptest.NewRequest(p.Method, p.Pattern, nil))
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "the-id") || strings.Contains(w.Body.String(), "a cause") {
			t.Errorf("%d\n%s", w.Code, w.Body)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "request_id=the-id") || !strings.Contains(text, "a cause") {
		t.Errorf("logged: %s", text)
	}
}

func TestInWords(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		time.Millisecond: "1 second", time.Second: "1 second", 1100 * time.Millisecond: "2 seconds", 90 * time.Second: "90 seconds",
		91 * time.Second: "2 minutes", 10 * time.Minute: "10 minutes",
	} {
		if got := inWords(wait); got != want {
			t.Errorf("%s is %q, want %q", wait, got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for detail, want := range map[string]string{"": "", "must be so": "Must be so.", "éa.": "Éa."} {
		if got := sentence(detail); got != want {
			t.Errorf("%q is %q, want %q", detail, got, want)
		}
	}
}

func TestBrowserName(t *testing.T) {
	for agent, want := range map[string]string{
		"": "A program without a name",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36 Edg/150.0": "Edge on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36":           "Chrome on Windows",
		"Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Mobile Safari/537.36":              "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 20_0 like Mac OS X) AppleWebKit/605.1.15 Version/20.0 Mobile/15E148 Safari/604.1":   "Safari on iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0":                                  "Firefox on macOS",
		"curl/8.5.0":          "curl",
		"something else/1.0":  "something else/1.0",
		"<script>x</script>":  "<script>x</script>",
		"something (Windows)": "something (Windows)",
	} {
		if got := browserName(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
}
