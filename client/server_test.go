package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/apptest"
	"github.com/apikeyd/apikeyd/internal/config"
)

// The tests of this file are against the real server. The others pin what is sent, and what is made of answers that
// the server does not give.

// clock is a server's clock, which a test may move forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }
func at(t time.Time) *api.Time           { return &api.Time{Time: t} }
func names(keys []api.Key) (names []string) {
	for _, k := range keys {
		names = append(names, k.KeyName)
	}
	return names
}

// check verifies a token and returns the code of the answer.
func check(t *testing.T, v *client.Verifier, q api.VerifyRequest) api.VerifyCode {
	t.Helper()
	a, err := v.Verify(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a.Code
}

func TestLifeOfAKey(t *testing.T) {
	var clock clock
	s := apptest.Start(t, &apptest.Options{Now: clock.now})
	c, v := s.Client(), s.Verifier()
	organization := s.First.OrganizationID

	me, err := c.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if me.UserID != s.First.UserID || me.Key == nil || me.Key.KeyID != s.First.KeyID || len(me.Organizations) != 1 ||
		me.Organizations[0].OrganizationID != organization {
		t.Errorf("me: %+v", me)
	}

	expires := clock.now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	created, err := c.CreateKey(t.Context(), api.NewKey{
		KeyName: " Büro 日本 ", KeyScope: []api.Scope{api.ScopeCreate, api.ScopeRead, api.ScopeRead}, OrganizationID: organization,
		ExpiresAt: at(expires), Metadata: json.RawMessage(`{"team":"billing","n":1}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if created.KeyName != "Büro 日本" || fmt.Sprint(created.KeyScope) != "[READ CREATE]" || !created.Enabled ||
		!created.ExpiresAt.Equal(expires) || created.LastUsedAt != nil {
		t.Errorf("created %+v", created.Key)
	}
	token := created.Token

	got, err := c.GetKey(t.Context(), created.KeyID)
	if err != nil || fmt.Sprint(got.KeyName, got.KeyHint, got.CreatedAt, string(got.Metadata)) !=
		fmt.Sprint(created.KeyName, created.KeyHint, created.CreatedAt, string(created.Metadata)) {
		t.Errorf("got %+v, %v", got, err)
	}

	ask := api.VerifyRequest{Key: token, Scope: api.ScopeCreate, OrganizationID: organization}
	a, err := v.Verify(t.Context(), ask)
	if err != nil || !a.Valid || a.KeyID != created.KeyID || a.UserID != s.First.UserID || !a.ExpiresAt.Equal(expires) ||
		string(a.Metadata) != string(created.Metadata) {
		t.Errorf("verified: %+v, %v", a, err)
	}

	// Every change is seen by the very next check.
	patch := func(p api.KeyPatch) api.Key {
		t.Helper()
		k, err := c.UpdateKey(t.Context(), created.KeyID, p)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	expect := func(q api.VerifyRequest, want api.VerifyCode) {
		t.Helper()
		if code := check(t, v, q); code != want {
			t.Errorf("%s, want %s", code, want)
		}
	}
	if k := patch(api.KeyPatch{Enabled: new(false)}); k.Enabled {
		t.Error("not disabled")
	}
	expect(ask, api.VerifyDisabled)
	patch(api.KeyPatch{Enabled: new(true), KeyScope: []api.Scope{api.ScopeRead}})
	expect(ask, api.VerifyInsufficientScope)
	k := patch(api.KeyPatch{KeyName: "Office", KeyScope: []api.Scope{api.ScopeCreate}, Metadata: json.RawMessage(`{"n":null,"m":{"x":2}}`)})
	if k.KeyName != "Office" || string(k.Metadata) != `{"m":{"x":2},"team":"billing"}` {
		t.Errorf("patched: %+v", k)
	}
	expect(ask, api.VerifyValid)
	expect(api.VerifyRequest{Key: token, OrganizationID: organization + 1}, api.VerifyNotFound)
	clock.forward(2 * time.Hour)
	expect(ask, api.VerifyExpired)
	if k := patch(api.KeyPatch{ExpiresAt: api.Null[api.Time]()}); k.ExpiresAt != nil {
		t.Errorf("expires at %v", k.ExpiresAt)
	}
	expect(ask, api.VerifyValid)

	rotated, err := c.RotateKey(t.Context(), created.KeyID, time.Minute)
	if err != nil || rotated.Token == token || rotated.KeyID != created.KeyID {
		t.Fatalf("rotated: %+v, %v", rotated.Key, err)
	}
	expect(ask, api.VerifyValid)
	expect(api.VerifyRequest{Key: rotated.Token}, api.VerifyValid)
	clock.forward(2 * time.Minute)
	expect(ask, api.VerifyNotFound)

	answers, err := v.VerifyBatch(t.Context(), []api.VerifyRequest{{Key: "nonsense"}, {Key: rotated.Token}, {Key: token}})
	if err != nil || answers[0].Valid || !answers[1].Valid || answers[2].Valid {
		t.Errorf("batch: %+v, %v", answers, err)
	}

	if err := c.DeleteKey(t.Context(), created.KeyID); err != nil {
		t.Fatal(err)
	}
	expect(api.VerifyRequest{Key: rotated.Token}, api.VerifyNotFound)
	if err := c.DeleteKey(t.Context(), created.KeyID); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := c.GetKey(t.Context(), created.KeyID); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("got a deleted key: %v", err)
	}

	c.CloseIdleConnections()
	v.CloseIdleConnections()
	s.Stop()
	for _, secret := range []string{token, rotated.Token, s.First.Token.Reveal()} {
		if strings.Contains(s.Log.String(), secret) {
			t.Error("a token is in the log")
		}
	}
}

func TestListsOfTheServer(t *testing.T) {
	s := apptest.Start(t, nil)
	c := s.Client()
	const count = 12
	for i := range count {
		scope := api.ScopeRead
		if i%2 == 1 {
			scope = api.ScopeUpdate
		}
		if _, err := c.CreateKey(t.Context(), api.NewKey{
			KeyName: fmt.Sprintf("key & %02d", i), KeyScope: []api.Scope{scope}, OrganizationID: s.First.OrganizationID, Enabled: new(i%3 > 0),
		}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(o client.ListOptions) (keys []api.Key) {
		t.Helper()
		for k, err := range c.AllKeys(t.Context(), o) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		return keys
	}
	whole := list(client.ListOptions{})
	if len(whole) != count+1 || !slices.IsSortedFunc(whole, func(a, b api.Key) int { return int(b.KeyID - a.KeyID) }) {
		t.Errorf("got %v", names(whole))
	}
	for _, limit := range []int{1, 5, count, count + 1, 1000} {
		if got := list(client.ListOptions{Limit: limit}); fmt.Sprint(names(got)) != fmt.Sprint(names(whole)) {
			t.Errorf("limit %d: %v", limit, names(got))
		}
	}
	for _, row := range []struct {
		options client.ListOptions
		want    int
	}{
		{client.ListOptions{OrganizationID: s.First.OrganizationID}, count + 1},
		{client.ListOptions{Query: "EY & 0"}, 10},
		{client.ListOptions{Query: "nowhere"}, 0},
		{client.ListOptions{Enabled: new(false)}, 4},
		{client.ListOptions{State: api.StateDisabled}, 4},
		{client.ListOptions{State: api.StateActive, Enabled: new(false)}, 0},
		{client.ListOptions{State: api.StateExpired}, 0},
		{client.ListOptions{Enabled: new(true), Scope: api.ScopeUpdate}, 5}, // 4, and the first key
		{client.ListOptions{Query: "& 1", Enabled: new(false), Scope: api.ScopeRead}, 0},
	} {
		row.options.Limit = 3
		if got := list(row.options); len(got) != row.want {
			t.Errorf("%+v: %v", row.options, names(got))
		}
	}
	page, err := c.ListKeys(t.Context(), client.ListOptions{Limit: 2, Query: "&"})
	if err != nil || len(page.Items) != 2 || page.Next == "" {
		t.Fatalf("got %v, %v", page, err)
	}
	page, err = c.ListKeys(t.Context(), client.ListOptions{Limit: 100, Query: "&", Cursor: page.Next})
	if err != nil || len(page.Items) != count-2 || page.Next != "" {
		t.Errorf("got %v, %v", page, err)
	}
}

// TestErrorsOfTheServer: what it refuses comes back as the same values.
func TestErrorsOfTheServer(t *testing.T) {
	s := apptest.Start(t, nil)
	c := s.Client()
	reader, err := c.CreateKey(t.Context(), api.NewKey{
		KeyName: "reader", KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: s.First.OrganizationID,
	})
	if err != nil {
		t.Fatal(err)
	}
	good := api.NewKey{KeyName: "x", KeyScope: []api.Scope{api.ScopeRead}, OrganizationID: s.First.OrganizationID}
	create := func(c *client.Client, k api.NewKey) error {
		_, err := c.CreateKey(t.Context(), k)
		return err
	}
	large := good
	large.Metadata = json.RawMessage(`{"a":"` + strings.Repeat("a", 70<<10) + `"}`)
	_, cursor := c.ListKeys(t.Context(), client.ListOptions{Cursor: "nonsense"})
	_, absent := c.GetKey(t.Context(), 1<<40)
	_, negative := c.GetKey(t.Context(), -1)
	_, batch := s.Verifier().VerifyBatch(t.Context(), make([]api.VerifyRequest, api.MaxBatch+1))
	_, question := s.Verifier().Verify(t.Context(), api.VerifyRequest{Key: "x", IP: "nowhere"})
	for _, row := range []struct {
		name     string
		err      error
		want     error
		pointers string
	}{
		{"a token that is none", create(s.ClientWith("nonsense"), good), api.ErrUnauthenticated, "[]"},
		{"an unknown token", create(s.ClientWith(other), good), api.ErrUnauthenticated, "[]"},
		{"a scope too few", create(s.ClientWith(reader.Token), good), api.ErrInsufficientScope, "[]"},
		{"nothing right", create(c, api.NewKey{Metadata: json.RawMessage(`[]`)}), api.ErrInvalid,
			"[/key_name /key_scope /metadata /organization_id]"},
		{"a body too large", create(c, large), api.ErrContentTooLarge, "[]"},
		{"a bad cursor", cursor, api.ErrMalformedRequest, "[/cursor]"},
		{"no such key", absent, api.ErrNotFound, "[]"},
		{"no id", negative, nil, ""},
		{"a batch too large", batch, nil, ""},
		{"a question that is none", question, nil, ""},
	} {
		var problem *api.Error
		if !errors.As(row.err, &problem) || problem.RequestID == "" || problem.Status != problem.Code.Status() {
			t.Errorf("%s: %v", row.name, row.err)
			continue
		}
		if row.want == nil { // which code it has is the server's affair
			continue
		}
		var pointers []string
		for _, f := range problem.Errors {
			pointers = append(pointers, f.Pointer)
		}
		slices.Sort(pointers)
		if !errors.Is(row.err, row.want) || fmt.Sprint(pointers) != row.pointers {
			t.Errorf("%s: %v at %v", row.name, row.err, pointers)
		}
	}
}

func TestVerificationListeners(t *testing.T) {
	t.Run("unix socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "verify.sock")
		s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) {
			c.VerifyListen = config.Address{Network: "unix", Address: path}
		}})
		if code := check(t, s.Verifier(), api.VerifyRequest{Key: s.First.Token.Reveal()}); code != api.VerifyValid {
			t.Errorf("got %s", code)
		}
	})
	t.Run("with a token", func(t *testing.T) {
		const secret = "a-verification-token-of-forty-characters"
		s := apptest.Start(t, &apptest.Options{Config: func(c *config.Config) {
			tokens, err := config.ParseTokens([]byte(secret + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			c.VerifyTokens = tokens
		}})
		q := api.VerifyRequest{Key: s.First.Token.Reveal()}
		if a, err := s.Verifier().Verify(t.Context(), q); !errors.Is(err, api.ErrUnauthenticated) || a.Valid {
			t.Errorf("without: %+v, %v", a, err)
		}
		v, err := client.NewVerifier(s.VerificationURL, client.WithVerifyToken(secret))
		if err != nil {
			t.Fatal(err)
		}
		if code := check(t, v, q); code != api.VerifyValid {
			t.Errorf("with: %s", code)
		}
	})
	t.Run("the wrong listener", func(t *testing.T) {
		s := apptest.Start(t, nil)
		v, err := client.NewVerifier(s.ManagementURL)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := v.Verify(t.Context(), api.VerifyRequest{Key: s.First.Token.Reveal()}); err == nil || a.Valid {
			t.Errorf("got %+v, %v", a, err)
		}
	})
}
