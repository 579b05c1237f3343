package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/apikeyd/apikeyd/api"
)

// Bounds on what is read. A page of 1000 keys, each with all the metadata it may have, stays under the first.
const (
	maxBody    = 32 << 20
	maxProblem = 1 << 20
)

// conn is what a Client and a Verifier share: one server, one credential, one way to send a request.
type conn struct {
	server     string   // as it was given, for people
	base       *url.URL // what paths are joined to
	http       *http.Client
	credential credential // a bearer credential; nil: none is sent
	session    credential // sent as a cookie; nil: none is sent
	userAgent  string
	retry      Retry
}

// request is one call of the API.
type request struct {
	method     string
	path       []string // segments below the server's address
	query      url.Values
	body       any      // sent as JSON; nil: no body
	secrets    []string // tokens and passwords within the body
	success    int      // the one status that means success
	idempotent bool     // sending it twice leaves the state as sending it once
	anonymous  bool     // it is sent without a credential
}

// answer is a response whose body was read to its end.
type answer struct {
	status    int
	header    http.Header
	mediaType string
	body      []byte
}

func newConn(server string, s settings, d defaults) (*conn, error) {
	base, socket, err := parseServer(server)
	if err != nil {
		return nil, err
	}
	c := &conn{
		server: server, base: base, credential: d.credential, session: s.session, userAgent: s.userAgent, retry: s.retry.or(d.retry),
	}
	h := http.Client{Timeout: d.timeout}
	if s.http != nil {
		h = *s.http
	}
	switch {
	case socket != "" && h.Transport != nil:
		return nil, errors.New("WithHTTPClient: a unix socket needs a transport of its own; leave Transport nil")
	case socket != "":
		t := newTransport()
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
		h.Transport = t
	case h.Transport == nil:
		h.Transport = newTransport()
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h.Jar = nil // it would keep the cookie of a sign-in, and send it with whatever follows
	c.http = &h
	return c, nil
}

// newTransport keeps more idle connections to its one server than the default two, which a service that verifies
// keys from many goroutines would close and open all the time.
func newTransport() *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if d, ok := http.DefaultTransport.(*http.Transport); ok {
		t = d.Clone()
	}
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	return t
}

// parseServer returns the address that paths are joined to, and the unix socket where it is one.
func parseServer(server string) (base *url.URL, socket string, err error) {
	if path, ok := strings.CutPrefix(server, "unix:"); ok {
		if path == "" {
			return nil, "", errors.New("server address: a unix socket is written unix:/path")
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, path, nil
	}
	u, err := url.Parse(server)
	switch {
	case strings.Contains(server, "@"): // before anything that would repeat it
		return nil, "", errors.New("server address: must hold no user name or password; an API key is given with WithAPIKey")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, "", fmt.Errorf("server address %q: must be an address such as https://keys.example.com", server)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "", fmt.Errorf("server address %q: must have no query and no fragment", server)
	}
	return u, "", nil
}

func (c *conn) url(r request) string {
	u := c.base.JoinPath(r.path...)
	u.RawQuery = r.query.Encode()
	return u.String()
}

// send sends r until it succeeds or sending it again would be unsafe or of no use, and decodes the answer. check
// says what is wrong with an answer that decodes but makes no sense. After an error the T is zero.
func send[T any](ctx context.Context, c *conn, r request, check func(T) error) (T, http.Header, error) {
	var result T
	header, err := c.try(ctx, r, func(body []byte) error {
		var v T
		if err := json.Unmarshal(body, &v); err != nil {
			return fmt.Errorf("its body %s", faultOf(err))
		}
		if err := check(v); err != nil {
			return err
		}
		result = v
		return nil
	})
	return result, header, err
}

// attempt sends r once. decode is nil where success has no body.
func (c *conn) attempt(ctx context.Context, r request, body []byte, decode func([]byte) error) (http.Header, *failure) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.url(r), bytes.NewReader(body))
	if err != nil {
		return nil, &failure{err: err, untouched: true}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", c.userAgent)
	c.authenticate(r, req.Header)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, r, err)
	}
	defer res.Body.Close()

	limit := int64(maxProblem)
	if res.StatusCode == r.success {
		limit = maxBody
	}
	a := answer{status: res.StatusCode, header: res.Header, mediaType: mediaTypeOf(res.Header)}
	a.body, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, c.broken(ctx, r, fmt.Errorf("%s %s: read the answer: %w", r.method, c.url(r), err))
	case int64(len(a.body)) > limit:
		return nil, &failure{err: c.foreign(r, a, fmt.Sprintf("the answer is larger than %d MiB", limit>>20))}
	case a.status != r.success:
		return nil, c.refused(r, a)
	case decode == nil:
		return a.header, nil
	case !isJSON(a.mediaType):
		return nil, &failure{err: c.foreign(r, a, "the answer is not JSON but "+orNothing(a.mediaType))}
	}
	if err := decode(a.body); err != nil {
		return nil, &failure{err: c.foreign(r, a, "the answer makes no sense: "+err.Error())}
	}
	return a.header, nil
}

// authenticate adds the credential, where there is one and r is sent with it.
func (c *conn) authenticate(r request, h http.Header) {
	switch {
	case r.anonymous:
	case c.credential != nil:
		h.Set("Authorization", "Bearer "+c.credential())
	case c.session != nil:
		h.Set("Cookie", sessionCookie+"="+c.session())
	}
}

// refused judges an answer that is not the success hoped for, and whether another attempt could do better.
func (c *conn) refused(r request, a answer) *failure {
	f := &failure{after: retryAfter(a.header)}
	problem, err := c.problem(r, a)
	switch {
	case a.status < 300:
		f.err = c.foreign(r, a, fmt.Sprintf("%d was expected", r.success))
	case a.status < 400:
		f.err = c.foreign(r, a, fmt.Sprintf(
			"it points to %q, and redirects are not followed, so that the credential goes nowhere else",
			c.excerpt(r, []byte(a.header.Get("Location")))))
	case err == nil:
		f.err = problem
		f.untouched = problem.Code == api.CodeUnavailable || problem.Code == api.CodeRateLimited
		f.passing = f.untouched
	default:
		f.err = c.foreign(r, a, err.Error())
		// A 429 refuses the request. The others come from something that stands before the server, and it may have
		// passed the request on before it gave up.
		f.untouched = a.status == http.StatusTooManyRequests
		f.passing = f.untouched || a.status == http.StatusBadGateway ||
			a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout
	}
	return f
}

// encode returns v as JSON, or nil for nil.
func encode(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}
