package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/apikeyd/apikeyd/internal/app"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
	"github.com/apikeyd/apikeyd/internal/oidc/oidctest"
)

const goodPassword = "quiet river under glass"

// visitor is a browser without a window: it keeps cookies as browsers do on this machine, and goes where it is sent, within
// the server.
type visitor struct {
	t    *testing.T
	base string
	jar  *jar
}

func newVisitor(t *testing.T, base string) *visitor { return &visitor{t, base, &jar{}} }

// jar keeps the cookies of one host. The one of net/http does not send those that are Secure to a loopback address.
type jar struct {
	mu      sync.Mutex
	cookies map[string]string
}

func (j *jar) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cookies == nil {
		j.cookies = map[string]string{}
	}
	for _, c := range cookies {
		switch {
		case !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" ||
			c.SameSite != http.SameSiteLaxMode: // none that we have promised
		case c.MaxAge < 0:
			delete(j.cookies, c.Name)
		default:
			j.cookies[c.Name] = c.Value
		}
	}
}

func (j *jar) Cookies(*url.URL) (all []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, value := range j.cookies {
		all = append(all, &http.Cookie{Name: name, Value: value})
	}
	return all
}

// page is what a visitor gets to see.
type page struct {
	status int
	path   string // where it has been sent in the end, with the query
	header http.Header
	text   string
}

// do makes a request and follows redirects within the server.
func (v *visitor) do(method, target string, form url.Values, headers ...string) page {
	v.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = v.base + target
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Jar: v.jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), v.base+"/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	answer, err := client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return page{answer.StatusCode, answer.Request.URL.RequestURI(), answer.Header, string(text)}
}

func (v *visitor) get(target string) page { v.t.Helper(); return v.do(http.MethodGet, target, nil) }

// post sends a form: names and values in turn.
func (v *visitor) post(target string, fields ...string) page {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return v.do(http.MethodPost, target, form)
}

// want fails the test where a page is another one.
func (p page) want(t *testing.T, status int, path string, texts ...string) {
	t.Helper()
	if p.status != status || p.path != path {
		t.Fatalf("got %d at %s, want %d at %s:\n%s", p.status, p.path, status, path, p.text)
	}
	for _, text := range texts {
		if !strings.Contains(p.text, text) {
			t.Errorf("%q is missing in:\n%s", text, p.text)
		}
	}
}

// linkOf returns the path of the first user's one-time link.
func linkOf(s *apptest.Server) string { return app.SignInURL("", s.First.Link) }

// signedIn returns a visitor who has signed in with the first link and chosen a password.
func signedIn(t *testing.T, base, link string) *visitor {
	t.Helper()
	v := newVisitor(t, base)
	v.post(link).want(t, http.StatusOK, "/account/password")
	v.post("/account/password", "new_password", goodPassword, "again", goodPassword).want(t, http.StatusOK, "/keys?note=password")
	return v
}

// behindProxy starts a server that has a provider, behind a proxy. It returns the proxy's URL.
func behindProxy(t *testing.T, provider *oidctest.Provider, change func(*config.Config)) (*apptest.Server, string) {
	t.Helper()
	var behind *url.URL
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(proxy.Close)
	provider.Allow(proxy.URL + "/sign-in/oidc/callback")
	s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) {
		c.PublicURL = proxy.URL
		c.OIDC = config.OIDC{Issuer: provider.Issuer(), ClientID: oidctest.PublicClientID, Audience: oidctest.PublicClientID}
		if change != nil {
			change(c)
		}
	}})
	behind, err := url.Parse(s.ManagementURL)
	if err != nil {
		t.Fatal(err)
	}
	return s, proxy.URL
}
