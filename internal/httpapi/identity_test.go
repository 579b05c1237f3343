package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// fakeProvider takes "fake." and a subject for one of its tokens.
type fakeProvider struct{}

const fakeIssuer = "https://issuer.example"

func (fakeProvider) Claims(bearer string) bool { return strings.HasPrefix(bearer, "fake.") }

func (fakeProvider) Authenticate(_ context.Context, bearer string) (admin.Identity, error) {
	cause := errors.New("private")
	switch subject := strings.TrimPrefix(bearer, "fake."); subject {
	case "bad":
		return admin.Identity{}, &key.Error{Code: key.Unauthenticated, Detail: "the access token is not good", Err: cause}
	case "away":
		return admin.Identity{}, &key.Error{Code: key.Unavailable, Detail: "the provider is away", Err: cause}
	case "broken":
		return admin.Identity{}, cause
	case "mailed":
		return admin.Identity{Issuer: fakeIssuer, Subject: subject, Email: "other@example.com", EmailVerified: true}, nil
	default:
		return admin.Identity{Issuer: fakeIssuer, Subject: subject}, nil
	}
}

// bind connects a subject of the fake provider with a user.
func (k *kit) bind(subject string, userID int64) {
	k.t.Helper()
	if _, err := k.store.Update(k.t.Context(), func(tx store.Tx) error {
		return tx.InsertIdentity(k.t.Context(), fakeIssuer, subject, userID, time.Now())
	}); err != nil {
		k.t.Fatal(err)
	}
}

func TestIdentities(t *testing.T) {
	k := newKitOf(t, func(o *admin.Options) { o.MatchEmail = true }, func(o *Options) { o.Identities = fakeProvider{} })
	k.bind("first", k.first.UserID)
	k.join("other@example.com", "viewer")
	for _, c := range []struct {
		name, bearer string
		code         api.Code // "": it is let in
		challenge    string
		user         string
	}{
		{"bound", "fake.first", "", "", "first@example.com"},
		{"found by the verified address", "fake.mailed", "", "", "other@example.com"},
		{"bound by that", "fake.mailed", "", "", "other@example.com"},
		{"of nobody", "fake.nobody", api.CodeUnauthenticated, refused, ""},
		{"not good", "fake.bad", api.CodeUnauthenticated, refused, ""},
		{"not to be checked", "fake.away", api.CodeUnavailable, "", ""},
		{"a fault of ours", "fake.broken", api.CodeInternal, "", ""},
		{"not the provider's", "eyJhbGciOiJub25lIn0.e30.", api.CodeUnauthenticated, refused, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := k.in(t).call("GET", "/v1/me", "", "Authorization: Bearer "+c.bearer)
			if got := r.header.Get("Www-Authenticate"); got != c.challenge {
				t.Errorf("WWW-Authenticate: %q, want %q", got, c.challenge)
			}
			if c.code == "" {
				if r.ok(http.StatusOK); !strings.Contains(r.body, `"email":"`+c.user+`"`) || !strings.Contains(r.body, `"key":null`) {
					t.Errorf("taken for %s", r.body)
				}
				return
			}
			p := r.problem(c.code)
			if strings.Contains(r.body, "private") {
				t.Errorf("the cause is in the answer: %s", r.body)
			}
			if c.code.Status() >= 500 && !strings.Contains(k.logLine(p.RequestID, "request failed"), "private") {
				t.Error("the cause is not in the log")
			}
			if c.code == api.CodeUnavailable && r.header.Get("Retry-After") == "" {
				t.Errorf("headers %v", r.header)
			}
		})
	}

	// An access token acts by the user's role alone, and is no session.
	k.call("GET", "/v1/api-keys", "", "Authorization: Bearer fake.first").ok(http.StatusOK)
	k.call("POST", "/v1/api-keys", valid, "Authorization: Bearer fake.first").ok(http.StatusCreated)
	k.call("PATCH", "/v1/organizations/1", `{}`, "Authorization: Bearer fake.mailed").problem(api.CodeForbidden)
	k.call("GET", "/v1/sessions", "", "Authorization: Bearer fake.first").problem(api.CodeForbidden)
}
