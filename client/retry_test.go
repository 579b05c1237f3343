package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// The calls by whether sending them twice is harmless.
var calls = []struct {
	name       string
	idempotent bool
	success    step
	do         func(context.Context, *script) error
}{
	{"GetKey", true, ok(200, keyJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().GetKey(ctx, 17)
		return err
	}},
	{"ListKeys", true, ok(200, "[]"), func(ctx context.Context, s *script) error {
		_, err := s.client().ListKeys(ctx, client.ListOptions{})
		return err
	}},
	{"Me", true, ok(200, `{"user_id":3}`), func(ctx context.Context, s *script) error {
		_, err := s.client().Me(ctx)
		return err
	}},
	{"DeleteKey", true, step{status: 204}, func(ctx context.Context, s *script) error {
		return s.client().DeleteKey(ctx, 17)
	}},
	{"Verify", true, ok(200, validJSON), func(ctx context.Context, s *script) error {
		_, err := s.verifier().Verify(ctx, api.VerifyRequest{Key: other})
		return err
	}},
	{"VerifyBatch", true, ok(200, `{"results":[`+validJSON+`]}`), func(ctx context.Context, s *script) error {
		_, err := s.verifier().VerifyBatch(ctx, []api.VerifyRequest{{Key: other}})
		return err
	}},
	{"ListOrganizations", true, ok(200, "[]"), func(ctx context.Context, s *script) error {
		_, err := s.client().ListOrganizations(ctx, client.OrganizationOptions{})
		return err
	}},
	{"GetOrganization", true, ok(200, organizationJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().GetOrganization(ctx, 432)
		return err
	}},
	{"DeleteOrganization", true, step{status: 204}, func(ctx context.Context, s *script) error {
		return s.client().DeleteOrganization(ctx, 432)
	}},
	{"ListMembers", true, ok(200, "[]"), func(ctx context.Context, s *script) error {
		_, err := s.client().ListMembers(ctx, 432, client.PageOptions{})
		return err
	}},
	{"GetMember", true, ok(200, memberJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().GetMember(ctx, 432, 3)
		return err
	}},
	{"RemoveMember", true, step{status: 204}, func(ctx context.Context, s *script) error {
		return s.client().RemoveMember(ctx, 432, 3, api.DeleteKeys)
	}},
	{"ListSessions", true, ok(200, "[]"), func(ctx context.Context, s *script) error {
		_, err := s.client().ListSessions(ctx, client.PageOptions{})
		return err
	}},
	{"EndSession", true, step{status: 204}, func(ctx context.Context, s *script) error {
		return s.client().EndSession(ctx, 12)
	}},
	{"SignOut", true, step{status: 204}, func(ctx context.Context, s *script) error {
		return s.client().SignOut(ctx)
	}},
	{"ReportLeak", true, step{status: 202}, func(ctx context.Context, s *script) error {
		return s.client().ReportLeak(ctx, apiKey)
	}},
	{"AuditLog", true, ok(200, "[]"), func(ctx context.Context, s *script) error {
		_, err := s.client().AuditLog(ctx, client.AuditOptions{})
		return err
	}},
	{"CreateOrganization", false, ok(201, organizationJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().CreateOrganization(ctx, api.NewOrganization{})
		return err
	}},
	{"UpdateOrganization", false, ok(200, organizationJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().UpdateOrganization(ctx, 432, api.OrganizationPatch{})
		return err
	}},
	{"InviteMember", false, ok(201, memberJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().InviteMember(ctx, 432, api.NewMember{})
		return err
	}},
	{"UpdateMember", false, ok(200, memberJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().UpdateMember(ctx, 432, 3, api.MemberPatch{}, "")
		return err
	}},
	{"SignIn", false, signedIn(ourCookie), func(ctx context.Context, s *script) error {
		_, _, err := s.client().SignIn(ctx, "ada@example.com", password)
		return err
	}},
	{"SignInWithLink", false, signedIn(ourCookie), func(ctx context.Context, s *script) error {
		_, _, err := s.client().SignInWithLink(ctx, linkSecret)
		return err
	}},
	{"SetPassword", false, step{status: 204}, func(ctx context.Context, s *script) error {
		return s.client().SetPassword(ctx, api.NewPassword{NewPassword: password})
	}},
	{"RequestSignInLink", false, step{status: 202}, func(ctx context.Context, s *script) error {
		return s.client().RequestSignInLink(ctx, "ada@example.com")
	}},
	{"CreateKey", false, ok(201, createdJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().CreateKey(ctx, api.NewKey{KeyName: "x"})
		return err
	}},
	{"UpdateKey", false, ok(200, keyJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().UpdateKey(ctx, 17, api.KeyPatch{Enabled: new(true)})
		return err
	}},
	{"RotateKey", false, ok(200, createdJSON), func(ctx context.Context, s *script) error {
		_, err := s.client().RotateKey(ctx, 17, 0)
		return err
	}},
}

// TestWhatIsSentAgain is the table in the comment of Retry, for every call.
func TestWhatIsSentAgain(t *testing.T) {
	cutOff := ok(200, `{"key_id":`)
	cutOff.cutOff = true
	for _, row := range []struct {
		failure string
		step    step
		again   string
	}{
		{"the server is not reached", dialFailed, "all"},
		{"503 unavailable", problem(api.CodeUnavailable), "all"},
		{"429 rate_limited", problem(api.CodeRateLimited, "Retry-After", "1"), "all"},
		{"429 of a proxy", html(429, "slow down"), "all"},
		{"the connection breaks", brokenOff, "idempotent"},
		{"the connection breaks within the answer", cutOff, "idempotent"},
		{"502 of a proxy", html(502, "bad gateway"), "idempotent"},
		{"503 of a proxy", html(503, "no backend"), "idempotent"},
		{"504 of a proxy", html(504, "time-out"), "idempotent"},
		{"400", problem(api.CodeMalformedRequest), "none"},
		{"401", problem(api.CodeUnauthenticated), "none"},
		{"403", problem(api.CodeForbidden), "none"},
		{"404", problem(api.CodeNotFound), "none"},
		{"409", problem(api.CodeConflict), "none"},
		{"409 keys_remain", problem(api.CodeKeysRemain), "none"},
		{"422", problem(api.CodeInvalid), "none"},
		{"500", problem(api.CodeInternal), "none"},
		{"500 of a proxy", html(500, "oops"), "none"},
		{"a redirect", html(302, "", "Location", "http://elsewhere.test/"), "none"},
		{"a login page", html(200, "<html>Sign in"), "none"},
		{"no such host", step{err: &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}}, "none"},
		{"no trust in the certificate", step{err: &tls.CertificateVerificationError{Err: errors.New("expired")}}, "none"},
	} {
		for _, call := range calls {
			t.Run(row.failure+"/"+call.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					again := row.again == "all" || row.again == "idempotent" && call.idempotent
					steps := []step{row.step}
					if again {
						// The last but one shows that it is not a single repetition.
						steps = []step{row.step, row.step, call.success}
					}
					if row.step.status == call.success.status && !again {
						steps[0].status = call.success.status
					}
					s := play(t, steps...)
					err := call.do(t.Context(), s)
					s.played()
					if again != (err == nil) {
						t.Errorf("got error %v", err)
					}
				})
			})
		}
	}
}

func TestEveryAttemptIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, problem(api.CodeUnavailable), problem(api.CodeUnavailable), ok(201, createdJSON))
		if _, err := s.client().CreateKey(t.Context(), api.NewKey{KeyName: "x"}); err != nil {
			t.Fatal(err)
		}
		for i, a := range s.sent {
			if a.body != s.sent[0].body || a.body == "" || a.header.Get("Authorization") != "Bearer "+apiKey {
				t.Errorf("attempt %d: %s", i+1, a.body)
			}
		}
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := problem(api.CodeUnavailable)
		s := play(t, down, down, down, down)
		_, err := s.client().GetKey(t.Context(), 1)
		s.played()
		if !errors.Is(err, api.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if want := "unavailable: the detail (request r1) (tried 4 times)"; err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		var problem *api.Error
		if !errors.As(err, &problem) || problem.RequestID != "r1" {
			t.Errorf("no problem document in %v", err)
		}

		s = play(t, down, down, down)
		if a, err := s.verifier().Verify(t.Context(), api.VerifyRequest{Key: other}); err == nil || a.Valid {
			t.Errorf("got %+v, %v", a, err)
		}
		s.played()

		s = play(t, down)
		if _, err := s.client(client.WithRetry(client.Retry{Attempts: 1})).GetKey(t.Context(), 1); err == nil {
			t.Error("no error")
		}
		s.played()
	})
}

func TestBackOffGrowsWithFullJitter(t *testing.T) {
	policy := client.Retry{Attempts: 6, FirstDelay: 100 * time.Millisecond, MaxDelay: 500 * time.Millisecond}
	ceilings := []time.Duration{100, 200, 400, 500, 500} // milliseconds
	longest := make([]time.Duration, len(ceilings))
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			down := problem(api.CodeUnavailable)
			s := play(t, down, down, down, down, down, down)
			if _, err := s.client(client.WithRetry(policy)).GetKey(t.Context(), 1); err == nil {
				t.Error("no error")
			}
			s.played()
			for i := range ceilings {
				delay := s.sent[i+1].at.Sub(s.sent[i].at)
				longest[i] = max(longest[i], delay)
				if delay > ceilings[i]*time.Millisecond {
					t.Errorf("waited %v after attempt %d, at most %d ms are right", delay, i+1, ceilings[i])
				}
			}
		})
	}
	// Of 50 uniform draws one is in the upper half, but for one run in 10^15.
	for i, d := range longest {
		if d < ceilings[i]*time.Millisecond/2 {
			t.Errorf("after attempt %d never more than %v was waited", i+1, d)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	const jitter = 100 * time.Millisecond
	for _, row := range []struct {
		header string
		want   time.Duration // 0: back-off alone; -1: not waited for
	}{
		{"", 0},
		{"0", 0},
		{"7", 7 * time.Second},
		{"30", 30 * time.Second},
		{"31", -1},
		{"9999999999", -1},
		{"99999999999999999999999999", -1},
		{"-5", 0},
		{"1.5", 0},
		{"soon", 0},
		{"Sat, 01 Jan 2000 00:00:09 GMT", 9 * time.Second}, // a bubble's clock starts with the year 2000
		{"Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{"Sun, 02 Jan 2000 00:00:00 GMT", -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			limited := problem(api.CodeRateLimited, "Retry-After", row.header)
			steps := []step{limited, ok(200, keyJSON)}
			if row.want < 0 {
				steps = steps[:1]
			}
			s := play(t, steps...)
			_, err := s.client().GetKey(t.Context(), 1)
			s.played()
			if row.want < 0 {
				if !errors.Is(err, api.ErrRateLimited) || time.Since(s.sent[0].at) != 0 {
					t.Errorf("%q: error %v after %v", row.header, err, time.Since(s.sent[0].at))
				}
				return
			}
			if delay := s.sent[1].at.Sub(s.sent[0].at); delay < row.want || delay > row.want+jitter {
				t.Errorf("%q: waited %v", row.header, delay)
			}
		})
	}
}

func TestContextEndsTheWaiting(t *testing.T) {
	t.Run("no waiting beyond the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			s := play(t, problem(api.CodeRateLimited, "Retry-After", "6"))
			start := time.Now()
			_, err := s.client().GetKey(ctx, 1)
			if !errors.Is(err, api.ErrRateLimited) || time.Since(start) != 0 {
				t.Errorf("got %v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("cancelled while waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(2*time.Second, cancel)
			s := play(t, problem(api.CodeRateLimited, "Retry-After", "6"))
			start := time.Now()
			_, err := s.client().GetKey(ctx, 1)
			if !errors.Is(err, api.ErrRateLimited) || !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if d := time.Since(start); d != 2*time.Second {
				t.Errorf("returned after %v", d)
			}
		})
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := play(t).client().GetKey(ctx, 1)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancelled during an attempt", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := play(t, step{err: context.Canceled, during: cancel})
		_, err := s.client().GetKey(ctx, 1)
		s.played()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A key that is not found on the second attempt may have been deleted by the first, or be somebody else's and alive:
// only the caller can know which, so it is never taken for a success.
func TestDeleteTwice(t *testing.T) {
	for _, row := range []struct {
		name    string
		steps   []step
		deleted bool
	}{
		{"deleted at once", []step{{status: 204}}, true},
		{"no such key", []step{problem(api.CodeNotFound)}, false},
		{"the connection breaks", []step{brokenOff, problem(api.CodeNotFound)}, false},
		{"a proxy gives up", []step{html(504, ""), problem(api.CodeNotFound)}, false},
		{"broken, then unavailable", []step{brokenOff, problem(api.CodeUnavailable), problem(api.CodeNotFound)}, false},
		{"unavailable", []step{problem(api.CodeUnavailable), problem(api.CodeNotFound)}, false},
		{"not reached", []step{dialFailed, problem(api.CodeNotFound)}, false},
		{"broken, then deleted", []step{brokenOff, {status: 204}}, true},
		{"a 404 that is not the server's", []step{brokenOff, html(404, "no such site")}, false},
		{"a key that deletes itself", []step{brokenOff, problem(api.CodeUnauthenticated)}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, row.steps...)
				err := s.client().DeleteKey(t.Context(), 17)
				s.played()
				if (err == nil) != row.deleted {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// Over a real socket: a server that hangs up.
func TestServerHangsUp(t *testing.T) {
	var attempts atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if attempts.Add(1) < 3 {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodDelete {
			w.WriteHeader(204)
			return
		}
		reply(w, 201, createdJSON)
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.WithAPIKey(apiKey),
		client.WithRetry(client.Retry{FirstDelay: time.Microsecond, MaxDelay: time.Microsecond}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	if err := c.DeleteKey(t.Context(), 17); err != nil || attempts.Load() != 3 {
		t.Errorf("delete: %v after %d attempts", err, attempts.Load())
	}
	attempts.Store(1)
	if _, err := c.CreateKey(t.Context(), api.NewKey{}); err == nil || attempts.Load() != 2 {
		t.Errorf("create: %v after %d attempts", err, attempts.Load()-1)
	}
}

// Over a real socket: nobody listens, and an attempt that takes too long.
func TestNotReachedAndTooSlow(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	quick := client.WithRetry(client.Retry{Attempts: 2, FirstDelay: time.Microsecond, MaxDelay: time.Microsecond})
	c, err := client.New("http://"+address, quick)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`Post "http://%[1]s/v1/api-keys": dial tcp %[1]s: connect: connection refused (tried 2 times)`, address)
	if _, err := c.CreateKey(t.Context(), api.NewKey{}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	attempts := new(counted)
	slow := client.WithHTTPClient(&http.Client{Timeout: 20 * time.Millisecond, Transport: attempts})
	v, err := client.NewVerifier(server.URL, quick, slow)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: other}); err == nil || a.Valid || attempts.n.Load() != 2 {
		t.Errorf("got %+v, %v after %d attempts", a, err, attempts.n.Load())
	}
}

// counted counts requests where they are sent: whether a server hears of one before it is given up is chance.
type counted struct{ n atomic.Int64 }

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}
