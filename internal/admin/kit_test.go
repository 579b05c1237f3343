package admin_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/secret"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/token"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// How long the sessions of the tests live.
const (
	idle     = 24 * time.Hour
	lifetime = 7 * 24 * time.Hour
)

// clock is a time that the tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *clock) pass(d time.Duration) { c.set(c.now().Add(d)) }

// recorder notes which tokens were thrown out of caches.
type recorder struct {
	mu      sync.Mutex
	changes []store.Change
}

func (r *recorder) Invalidate(changes []store.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, changes...)
}

// take returns what was noted since the last take.
func (r *recorder) take() []store.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.changes
	r.changes = nil
	return taken
}

// mail is one that was sent.
type mail struct {
	email        string
	link         secret.Secret
	organization string
}

// mailbox is a mail server that keeps what it is given.
type mailbox chan mail

func (m mailbox) SendSignInLink(email string, link secret.Secret, organization string) {
	m <- mail{email, link, organization}
}

func (m mailbox) SendLeak(string, admin.LeakNotice) {}

// house is a service over a real database with two organizations and somebody of every role.
type house struct {
	*admin.Service
	*clock
	t       *testing.T
	store   *sqlite.Store
	path    string // of the database
	options admin.Options
	thrown  *recorder
	home    int64            // the organization that the tests are about
	other   int64            // another one
	users   map[string]int64 // by what they are: "viewer", …, "stranger", "instance admin"
	foreign key.Key          // a key in the other organization
	tokens  map[int64]token.Token
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := openHouse(t, filepath.Join(t.TempDir(), "test.db"))
	h.home, h.other = h.organization("home"), h.organization("other")
	for _, u := range []struct {
		name string
		in   int64
		role key.Role
	}{
		{"viewer", h.home, key.Viewer}, {"member", h.home, key.Member}, {"admin", h.home, key.Admin}, {"owner", h.home, key.Owner},
		{"colleague", h.home, key.Owner}, {"stranger", h.other, key.Owner}, {"instance admin", h.other, key.Viewer},
	} {
		h.user(u.name, u.name == "instance admin")
		h.join(u.name, u.in, u.role)
	}
	h.foreign = h.key(h.users["stranger"], h.other, key.AllScopes)
	return h
}

// openHouse is a house without anybody in it.
func openHouse(t *testing.T, path string) *house {
	t.Helper()
	h := &house{t: t, path: path, thrown: new(recorder), clock: &clock{at: noon}, users: map[string]int64{},
		tokens: map[int64]token.Token{}}
	var err error
	h.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.store.Close() })
	h.options = admin.Options{
		Store: h.store, Invalidator: h.thrown, TokenPrefix: "ak", Now: h.now, Log: slog.New(slog.DiscardHandler),
		Passwords: password.NewHasher(1), SessionIdle: idle, SessionLifetime: lifetime,
	}
	h.Service = admin.New(h.options)
	return h
}

// with returns the same house with a service that has other options.
func (h *house) with(change func(*admin.Options)) *house {
	other := *h
	change(&other.options)
	other.Service = admin.New(other.options)
	return &other
}

func (h *house) change(fn func(store.Tx) error) {
	h.t.Helper()
	if _, err := h.store.Update(h.t.Context(), fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) organization(name string) (id int64) {
	h.t.Helper()
	h.change(func(tx store.Tx) (err error) {
		id, err = tx.InsertOrganization(h.t.Context(), key.Organization{Name: name, CreatedAt: noon, UpdatedAt: noon})
		return err
	})
	return id
}

// user makes a user who has signed in once.
func (h *house) user(name string, instanceAdmin bool) {
	h.t.Helper()
	h.change(func(tx store.Tx) error {
		id, err := tx.InsertUser(h.t.Context(), key.User{Email: email(name), InstanceAdmin: instanceAdmin, CreatedAt: noon, UpdatedAt: noon})
		if err != nil {
			return err
		}
		h.users[name] = id
		return tx.SetSignedIn(h.t.Context(), id, noon)
	})
}

// email is the address of a user.
func email(name string) string { return strings.ReplaceAll(name, " ", ".") + "@example.com" }

func (h *house) join(name string, organization int64, role key.Role) {
	h.t.Helper()
	h.change(func(tx store.Tx) error {
		return tx.InsertMember(h.t.Context(), key.Membership{OrganizationID: organization, UserID: h.users[name], Role: role, CreatedAt: noon})
	})
}

// key puts a key into the database past every rule.
func (h *house) key(user, organization int64, scopes key.Scopes) key.Key {
	h.t.Helper()
	secret := token.New("ak")
	k := key.Key{Name: "k", Scopes: scopes, OrganizationID: organization, UserID: user, Hint: secret.Hint(), Enabled: true, CreatedAt: noon, UpdatedAt: noon}
	h.change(func(tx store.Tx) (err error) {
		k.ID, err = tx.InsertKey(h.t.Context(), k, secret.Digest())
		return err
	})
	h.tokens[k.ID] = secret
	return k
}

// bearer is a user who comes with an access token of an identity provider: with their roles, and without a session.
func (h *house) bearer(user string) admin.Caller { return admin.Caller{UserID: h.users[user]} }

// session is a user in a session, which begins now, by a one-time link.
func (h *house) session(user string) admin.Caller {
	h.t.Helper()
	c := admin.Caller{UserID: h.users[user]}
	h.change(func(tx store.Tx) (err error) {
		c.SessionID, err = tx.InsertSession(h.t.Context(), key.Session{UserID: c.UserID, Method: key.ByLink, CreatedAt: h.now(),
			LastUsedAt: h.now(), ExpiresAt: h.now().Add(lifetime)}, secret.New().Digest())
		return err
	})
	return c
}

func (h *house) withKey(user string, organization int64, scopes key.Scopes) admin.Caller {
	h.t.Helper()
	return h.by(h.key(h.users[user], organization, scopes))
}

// by is a caller who comes with a key.
func (h *house) by(k key.Key) admin.Caller {
	return admin.Caller{UserID: k.UserID, KeyID: k.ID, Token: h.tokens[k.ID].Digest()}
}

// link makes a one-time link for a user, and returns its secret.
func (h *house) link(user string) string {
	h.t.Helper()
	link, err := h.MakeLink(h.t.Context(), admin.Caller{}, email(user))
	if err != nil {
		h.t.Fatal(err)
	}
	return link.Reveal()
}

// expectThrown fails the test unless exactly these tokens were thrown out of the caches.
func (h *house) expectThrown(what string, want ...token.Token) {
	h.t.Helper()
	got := map[key.Digest]bool{}
	for _, c := range h.thrown.take() {
		got[c.Digest] = true
	}
	if len(got) != len(want) {
		h.t.Errorf("%s throws out %d tokens, want %d", what, len(got), len(want))
	}
	for _, tok := range want {
		if !got[tok.Digest()] {
			h.t.Errorf("%s leaves %v in the caches", what, tok)
		}
	}
}

// tokensOf returns the tokens of keys.
func (h *house) tokensOf(keys ...key.Key) (tokens []token.Token) {
	for _, k := range keys {
		tokens = append(tokens, h.tokens[k.ID])
	}
	return tokens
}

// logged returns what was written to the audit log while do ran.
func (h *house) logged(do func()) []audit.Entry {
	h.t.Helper()
	before, err := h.store.AuditExtent(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	do()
	entries, err := h.store.AuditAfter(h.t.Context(), before.Last.ID, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	return entries
}

// actions returns what was done, and "refused: " before what was not.
func actions(entries []audit.Entry) (names []string) {
	for _, e := range entries {
		name := string(e.Action)
		if e.Outcome == audit.Refused {
			name = "refused: " + name
		}
		names = append(names, name)
	}
	return names
}

// expectActions fails the test unless these are the actions of the entries.
func expectActions(t *testing.T, entries []audit.Entry, want ...string) {
	t.Helper()
	if got := actions(entries); !slices.Equal(got, want) {
		t.Errorf("the audit log says %q, want %q", got, want)
	}
}

// expect fails the test unless err has the code; "ok" is that of no error.
func expect(t *testing.T, what string, err error, want key.Code) {
	t.Helper()
	if got := codeOf(err); got != want {
		t.Errorf("%s: %s, want %s (%v)", what, got, want, err)
	}
}

func codeOf(err error) key.Code {
	var e *key.Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return key.Code("unexpected: " + err.Error())
	}
	return "ok"
}

const (
	read   = key.Scopes(key.Read)
	create = key.Scopes(key.Create)
	update = key.Scopes(key.Update)
	remove = key.Scopes(key.Delete)
	manage = key.Scopes(key.Manage)
)
