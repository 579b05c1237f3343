package admin_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/password"
	"github.com/apikeyd/apikeyd/internal/store"
)

// The passwords of the tests.
const (
	right  = "correct horse battery staple"
	wrong  = "incorrect horse battery staple"
	wanted = "wrong donkey solar paperclip"
)

// hashed is the first of them as it is kept, under parameters that are quick to compute, and outdated.
var hashed = func() string {
	salt := []byte("0123456789abcdef")
	sum := argon2.IDKey([]byte(right), salt, 1, 8, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}()

// setPassword gives a user the password that is right.
func (h *house) setPassword(user string) {
	h.t.Helper()
	h.change(func(tx store.Tx) error { return tx.SetPassword(h.t.Context(), h.users[user], hashed, noon) })
}

// faultsOf returns the places that an error finds faults with.
func faultsOf(err error) (pointers []string) {
	if e, ok := errors.AsType[*key.Error](err); ok {
		for _, f := range e.Faults {
			pointers = append(pointers, f.Pointer)
		}
	}
	return pointers
}

func TestAPasswordIsLongAndNotGuessedFirst(t *testing.T) {
	h := newHouse(t)
	member := h.session("member")
	for _, bad := range []string{"", "elevenchars", "password1234", email("member"), strings.ToUpper(email("member"))} {
		err := h.SetPassword(t.Context(), member, "", bad)
		if got := faultsOf(err); codeOf(err) != key.Invalid || len(got) != 1 || got[0] != "/new_password" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if kept, err := h.store.Password(t.Context(), member.UserID); kept != "" || err != nil {
		t.Errorf("a password that was refused is kept: %q, %v", kept, err)
	}
}

func TestANewPasswordEndsWhatTheOldOneBegan(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	here, there, others := h.session("member"), h.session("member"), h.session("viewer")
	link, othersLink := h.link("member"), h.link("viewer")
	signedIn := h.signIn("member", right, "203.0.113.1", admin.Browser{})
	entries := h.logged(func() {
		expect(t, "set the password", h.SetPassword(t.Context(), here, "", wanted), "ok") // a session that began by link
	})
	expectActions(t, entries, "user.password")
	if e := entries[0]; string(e.After) != `{"sessions_ended":2}` || e.Before != nil || e.Target != (audit.Target{Type: audit.User, ID: here.UserID}) {
		t.Errorf("the audit log says %+v", e)
	}

	expect(t, "this session", errorOf(h.Me(t.Context(), here)), "ok")
	expect(t, "another session", errorOf(h.Me(t.Context(), there)), key.Unauthenticated)
	expect(t, "one that began with the old password", errorOf(h.Authenticate(t.Context(), signedIn.Secret.Reveal())), key.Unauthenticated)
	expect(t, "a link", errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, link, admin.Browser{})), key.Unauthenticated)
	if known, err := h.store.Device(t.Context(), here.UserID, signedIn.Device.Digest()); known || err != nil {
		t.Errorf("the device is known: %v, %v", known, err)
	}
	expect(t, "somebody else's session", errorOf(h.Me(t.Context(), others)), "ok")
	expect(t, "somebody else's link", errorOf(h.SignInWithLink(t.Context(), admin.Caller{}, othersLink, admin.Browser{})), "ok")
	expect(t, "the old password", errorOf(h.SignIn(t.Context(), admin.Caller{}, email("member"), right, admin.Browser{})), key.Unauthenticated)
	expect(t, "the new one", errorOf(h.SignIn(t.Context(), admin.Caller{}, email("member"), wanted, admin.Browser{})), "ok")
}

// errorOf returns the error of two results.
func errorOf[T any](_ T, err error) error { return err }

// signIn signs a user in, from an address, or fails the test.
func (h *house) signIn(user, pass, ip string, b admin.Browser) admin.Started {
	h.t.Helper()
	started, err := h.SignIn(h.t.Context(), admin.Caller{IP: ip}, email(user), pass, b)
	if err != nil {
		h.t.Fatal(err)
	}
	return started
}

func TestTheCurrentPasswordIsAskedFor(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	started := h.signIn("member", right, "203.0.113.1", admin.Browser{})
	byPassword := admin.Caller{UserID: started.UserID, SessionID: started.ID}

	entries := h.logged(func() {
		err := h.SetPassword(t.Context(), byPassword, wrong, "short")
		if got := strings.Join(faultsOf(err), " "); codeOf(err) != key.Invalid || got != "/new_password /current_password" {
			t.Errorf("all that is wrong: %q, %v", got, err)
		}
	})
	expectActions(t, entries, "refused: user.password") // somebody has guessed
	if entries[0].Code != string(key.Unauthenticated) {
		t.Errorf("the refusal is %q", entries[0].Code)
	}
	expect(t, "without", h.SetPassword(t.Context(), byPassword, "", wanted), key.Invalid)
	expect(t, "with", h.SetPassword(t.Context(), byPassword, right, wanted), "ok")

	first := h.session("viewer")
	h.change(func(tx store.Tx) (err error) {
		first.SessionID, err = tx.InsertSession(t.Context(), key.Session{UserID: first.UserID, Method: key.ByOIDC, CreatedAt: noon,
			LastUsedAt: noon, ExpiresAt: noon.Add(lifetime)}, key.Digest{1})
		return err
	})
	expect(t, "the first password, in a session that began by an identity", h.SetPassword(t.Context(), first, "", wanted), "ok")
	expect(t, "the second", h.SetPassword(t.Context(), first, "", right), key.Invalid)
}

// Guessing at the current password ends soon, and only for the session that it is done in.
func TestNobodyElseUsesUpTheAttemptsOfASession(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	begin := func() admin.Caller {
		c := h.session("member")
		h.change(func(tx store.Tx) (err error) {
			c.SessionID, err = tx.InsertSession(t.Context(), key.Session{UserID: c.UserID, Method: key.ByPassword, CreatedAt: noon,
				LastUsedAt: noon, ExpiresAt: noon.Add(lifetime)}, key.Digest{byte(c.SessionID)})
			return err
		})
		return c
	}
	thief, owner := begin(), begin()
	for i := range 50 { // from as many addresses, so that no more can be tried on the account
		ip := fmt.Sprintf("198.51.100.%d", i)
		expect(t, ip, errorOf(h.SignIn(t.Context(), admin.Caller{IP: ip}, email("member"), wrong, admin.Browser{})), key.Unauthenticated)
	}
	for i := range 10 {
		expect(t, fmt.Sprintf("guess %d", i), h.SetPassword(t.Context(), thief, wrong, wanted), key.Invalid)
	}
	err := h.SetPassword(t.Context(), thief, right, wanted)
	expect(t, "one guess more", err, key.RateLimited)
	if e, _ := errors.AsType[*key.Error](err); e.Wait <= 0 {
		t.Errorf("wait %v", e.Wait)
	}
	expect(t, "in the owner's session", h.SetPassword(t.Context(), owner, right, wanted), "ok")
}

func TestAPasswordIsKeptAnewUnderTheParametersOfToday(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	h.signIn("member", right, "", admin.Browser{})
	kept, err := h.store.Password(t.Context(), h.users["member"])
	if err != nil || kept == hashed {
		t.Fatalf("the password is kept as it was, %v", err)
	}
	if ok, outdated, err := password.NewHasher(1).Verify(t.Context(), kept, right); !ok || outdated || err != nil {
		t.Errorf("right %v, outdated %v, %v", ok, outdated, err)
	}
	h.signIn("member", right, "", admin.Browser{})
	if again, _ := h.store.Password(t.Context(), h.users["member"]); again != kept {
		t.Error("it is kept anew a second time")
	}
}

// fading is the context of somebody who hangs up after it was asked for its error a few times.
type fading struct {
	context.Context
	left atomic.Int64
}

func (f *fading) Err() error {
	if f.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// Whoever hangs up before their password is compared has tried nothing, whether there is such a user or not. If only one of
// the two counted, the wait would tell which addresses there are.
func TestAnAttemptThatIsGivenUpIsNone(t *testing.T) {
	h := newHouse(t)
	h.setPassword("member")
	for moment := range int64(5) {
		var outcomes []string
		for _, address := range []string{email("member"), "nobody@example.com"} {
			var err error
			entries := h.logged(func() {
				gone := &fading{Context: t.Context()}
				gone.left.Store(moment)
				_, err = h.SignIn(gone, admin.Caller{IP: "203.0.113.9"}, address, wrong, admin.Browser{})
			})
			if len(entries) > 0 != (codeOf(err) == key.Unauthenticated) {
				t.Errorf("%s, moment %d: %v, and the audit log says %q", address, moment, err, actions(entries))
			}
			outcomes = append(outcomes, fmt.Sprint(err))
		}
		if outcomes[0] != outcomes[1] && strings.Contains(outcomes[0]+outcomes[1], string(key.Unauthenticated)) {
			t.Errorf("moment %d: %q", moment, outcomes)
		}
	}
}
