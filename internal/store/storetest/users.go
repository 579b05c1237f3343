package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var userTests = []test{
	{"a user comes back as it was stored", userComesBack},
	{"an e-mail address is taken without regard to case", emailTaken},
	{"UserByEmail does not regard case", userByEmail},
	{"an identity finds its user", userByIdentity},
	{"an identity is bound once, to a user who is there", identityTaken},
	{"Identities lists a user's, and DeleteIdentity deletes one", deleteIdentity},
	{"a password comes back as it was given", password},
	{"SetSignedIn moves SignedInAt and nothing else", setSignedIn},
	{"DeleteUser deletes a user with everything they sign in with", deleteUser},
	{"a user who is a member or holds keys is not deleted", deleteUserRefused},
	{"Initialised says whether there is a user", initialised},
}

func userComesBack(t *testing.T, w *world) {
	for _, want := range []key.User{
		{Email: "Mixed.Case+tag@Example.COM", InstanceAdmin: true, CreatedAt: start, UpdatedAt: start.AddDate(0, 0, 1)},
		{Email: "jörg@exämple.de", CreatedAt: start, UpdatedAt: start},
	} {
		w.update(t, func(tx store.Tx) (err error) {
			want.ID, err = tx.InsertUser(t.Context(), want)
			return err
		})
		if got, err := w.User(t.Context(), want.ID); err != nil || got != want {
			t.Errorf("User() = %+v, %v, want %+v", got, err, want)
		}
	}
	for _, id := range []int64{0, -1, 1 << 40} {
		_, err := w.User(t.Context(), id)
		wantIs(t, fmt.Sprintf("User(%d)", id), err, store.ErrNotFound)
	}
}

func emailTaken(t *testing.T, w *world) {
	insert := func(email string) error {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.InsertUser(t.Context(), newUser(email))
			return err
		})
		return err
	}
	for _, email := range []string{"ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"} {
		wantConflict(t, email, insert(email), store.EmailTaken)
	}
	if err := insert("é@example.com"); err != nil {
		t.Error(err)
	}
	wantConflict(t, "É@example.com", insert("É@example.com"), store.EmailTaken)
	if err := insert("ada@example.co"); err != nil {
		t.Error(err)
	}
}

func userByEmail(t *testing.T, w *world) {
	id := w.insertUser(t, "Jörg.Écoute@Example.com")
	for _, email := range []string{"Jörg.Écoute@Example.com", "jörg.écoute@example.com", "JÖRG.ÉCOUTE@EXAMPLE.COM"} {
		if u, err := w.UserByEmail(t.Context(), email); err != nil || u.ID != id || u.Email != "Jörg.Écoute@Example.com" {
			t.Errorf("UserByEmail(%q) = %+v, %v, want user %d with the address as it was given", email, u, err, id)
		}
	}
	for _, email := range []string{"", "%", "jorg.ecoute@example.com", "jörg.écoute@example.co", " jörg.écoute@example.com"} {
		_, err := w.UserByEmail(t.Context(), email)
		wantIs(t, fmt.Sprintf("UserByEmail(%q)", email), err, store.ErrNotFound)
	}
}

func userByIdentity(t *testing.T, w *world) {
	const issuer, otherIssuer = "https://id.example.com", "https://id.example.org/realms/a"
	w.update(t, func(tx store.Tx) error {
		for _, i := range []struct {
			issuer, subject string
			user            int64
		}{
			{issuer, "17", w.user}, {otherIssuer, "17", w.otherUser}, {issuer, "18", w.otherUser}, {issuer, "19", w.user},
			{issuer, "Ab", w.user}, {issuer, "aB", w.otherUser},
		} {
			if err := tx.InsertIdentity(t.Context(), i.issuer, i.subject, i.user, start); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []struct {
		issuer, subject string
		want            int64
	}{
		{issuer, "17", w.user}, {otherIssuer, "17", w.otherUser}, {issuer, "18", w.otherUser}, {issuer, "19", w.user},
		{issuer, "Ab", w.user}, {issuer, "aB", w.otherUser}, // whose case counts is for the provider to say
		{issuer, "ab", 0}, {issuer, "20", 0}, {otherIssuer, "18", 0}, {issuer + "/", "17", 0}, {"", "", 0},
	} {
		u, err := w.UserByIdentity(t.Context(), c.issuer, c.subject)
		if c.want == 0 {
			wantIs(t, fmt.Sprintf("UserByIdentity(%q, %q)", c.issuer, c.subject), err, store.ErrNotFound)
			continue
		}
		if whole, _ := w.User(t.Context(), c.want); err != nil || u != whole {
			t.Errorf("UserByIdentity(%q, %q) = %+v, %v, want %+v", c.issuer, c.subject, u, err, whole)
		}
	}
}

func deleteIdentity(t *testing.T, w *world) {
	const issuer = "https://id.example.com"
	var want []key.Connection
	w.update(t, func(tx store.Tx) error {
		want = want[:0]
		for i, subject := range []string{"A", "a", "b", "é"} {
			at := start.Add(time.Duration(i) * time.Millisecond)
			want = append(want, key.Connection{Issuer: issuer, Subject: subject, CreatedAt: at})
			if err := tx.InsertIdentity(t.Context(), issuer, subject, w.user, at); err != nil {
				return err
			}
		}
		return tx.InsertIdentity(t.Context(), issuer, "other", w.otherUser, start)
	})
	wantList := func() {
		t.Helper()
		if got, err := w.Identities(t.Context(), w.user); err != nil || !slices.Equal(got, want) {
			t.Errorf("Identities() = %+v, %v, want %+v", got, err, want)
		}
	}
	wantList()
	if got, err := w.Identities(t.Context(), 1<<40); err != nil || len(got) != 0 {
		t.Errorf("Identities() of nobody = %+v, %v", got, err)
	}
	for _, c := range []struct {
		issuer, subject string
		user            int64
		want            error
	}{
		{issuer, "a", w.otherUser, store.ErrNotFound}, {issuer, "other", w.user, store.ErrNotFound}, {issuer + "/", "a", w.user, store.ErrNotFound},
		{issuer, "a", w.user, nil}, {issuer, "a", w.user, store.ErrNotFound},
	} {
		_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteIdentity(t.Context(), c.issuer, c.subject, c.user) })
		wantIs(t, fmt.Sprintf("DeleteIdentity(%q, %q)", c.issuer, c.subject), err, c.want)
	}
	want = slices.Delete(want, 1, 2)
	wantList()
}

func identityTaken(t *testing.T, w *world) {
	insert := func(subject string, user int64) error {
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			return tx.InsertIdentity(t.Context(), "https://id.example.com", subject, user, start)
		})
		return err
	}
	if err := insert("17", w.user); err != nil {
		t.Fatal(err)
	}
	for _, user := range []int64{w.user, w.otherUser} {
		wantConflict(t, "InsertIdentity again", insert("17", user), store.IdentityTaken)
	}
	wantConflict(t, "InsertIdentity for nobody", insert("18", 1<<40), store.NoReference)
	if u, err := w.UserByIdentity(t.Context(), "https://id.example.com", "17"); err != nil || u.ID != w.user {
		t.Errorf("UserByIdentity() = %+v, %v, want user %d", u, err, w.user)
	}
}

func password(t *testing.T, w *world) {
	want := func(user int64, hashed string) {
		t.Helper()
		if got, err := w.Password(t.Context(), user); err != nil || got != hashed {
			t.Errorf("Password(%d) = %q, %v, want %q", user, got, err, hashed)
		}
	}
	set := func(user int64, hashed string, now time.Time) error {
		changes, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.SetPassword(t.Context(), user, hashed, now) })
		wantChanges(t, changes)
		return err
	}
	want(w.user, "")
	u, err := w.User(t.Context(), w.user)
	if err != nil {
		t.Fatal(err)
	}
	for i, hashed := range []string{"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", "another", ""} {
		u.UpdatedAt = start.Add(time.Duration(i+1) * time.Minute)
		if err := set(w.user, hashed, u.UpdatedAt); err != nil {
			t.Fatal(err)
		}
		want(w.user, hashed)
		want(w.otherUser, "")
		if got, err := w.User(t.Context(), w.user); err != nil || got != u {
			t.Errorf("User() = %+v, %v, want %+v", got, err, u)
		}
	}
	wantIs(t, "SetPassword of nobody", set(1<<40, "x", start), store.ErrNotFound)
	_, err = w.Password(t.Context(), 1<<40)
	wantIs(t, "Password of nobody", err, store.ErrNotFound)
}

func setSignedIn(t *testing.T, w *world) {
	set := func(user int64, at time.Time) error {
		_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.SetSignedIn(t.Context(), user, at) })
		return err
	}
	u, err := w.User(t.Context(), w.user)
	if err != nil || !u.SignedInAt.IsZero() {
		t.Fatalf("User() = %+v, %v, want one who has never signed in", u, err)
	}
	for _, at := range []time.Time{start.Add(time.Hour), start.Add(2 * time.Hour)} {
		if err := set(w.user, at.In(time.FixedZone("", 3600))); err != nil {
			t.Fatal(err)
		}
		u.SignedInAt = at
		if got, err := w.User(t.Context(), w.user); err != nil || got != u {
			t.Errorf("User() = %+v, %v, want %+v", got, err, u)
		}
	}
	if other, err := w.User(t.Context(), w.otherUser); err != nil || !other.SignedInAt.IsZero() {
		t.Errorf("User() of somebody else = %+v, %v", other, err)
	}
	wantIs(t, "SetSignedIn of nobody", set(1<<40, start), store.ErrNotFound)
}

// signIns is everything that a user can sign in with, one of each.
type signIns struct {
	user                 int64
	session              int64
	secret, link, device key.Digest
	issuer, subject      string
}

func (w *world) insertSignIns(t *testing.T, user int64) signIns {
	t.Helper()
	s := signIns{user: user, secret: w.digest(), link: w.digest(), device: w.digest(),
		issuer: "https://id.example.com", subject: fmt.Sprint("subject ", user)}
	w.update(t, func(tx store.Tx) (err error) {
		if s.session, err = tx.InsertSession(t.Context(), newSession(user), s.secret); err != nil {
			return err
		}
		if err := tx.InsertLink(t.Context(), newLink(user), s.link); err != nil {
			return err
		}
		if err := tx.KeepDevice(t.Context(), user, s.device, start); err != nil {
			return err
		}
		return tx.InsertIdentity(t.Context(), s.issuer, s.subject, user, start)
	})
	return s
}

// wantSignIns fails where they are not all there, or not all gone.
func (w *world) wantSignIns(t *testing.T, s signIns, there bool) {
	t.Helper()
	var want error
	if !there {
		want = store.ErrNotFound
	}
	_, err := w.Session(t.Context(), s.session)
	wantIs(t, "Session", err, want)
	_, err = w.SessionByDigest(t.Context(), s.secret)
	wantIs(t, "SessionByDigest", err, want)
	_, err = w.UserByIdentity(t.Context(), s.issuer, s.subject)
	wantIs(t, "UserByIdentity", err, want)
	if known, err := w.Device(t.Context(), s.user, s.device); err != nil || known != there {
		t.Errorf("Device() = %v, %v, want %v", known, err, there)
	}
	_, err = w.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.TakeLink(t.Context(), s.link)
		wantIs(t, "TakeLink", err, want)
		return errMine // leaves it where it is
	})
	wantIs(t, "Update", err, errMine)
}

func deleteUser(t *testing.T, w *world) {
	id := w.insertUser(t, "gone@example.com")
	theirs, others := w.insertSignIns(t, id), w.insertSignIns(t, w.user)
	wantChanges(t, w.update(t, func(tx store.Tx) error { return tx.DeleteUser(t.Context(), id) }))
	_, err := w.User(t.Context(), id)
	wantIs(t, "User", err, store.ErrNotFound)
	_, err = w.UserByEmail(t.Context(), "gone@example.com")
	wantIs(t, "UserByEmail", err, store.ErrNotFound)
	w.wantSignIns(t, theirs, false)
	w.wantSignIns(t, others, true)
	if list, err := w.Sessions(t.Context(), id, 0, 10); err != nil || len(list) != 0 {
		t.Errorf("Sessions() = %+v, %v, want none", list, err)
	}

	_, err = w.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteUser(t.Context(), id) })
	wantIs(t, "DeleteUser again", err, store.ErrNotFound)
	if again := w.insertUser(t, "gone@example.com"); again <= id {
		t.Errorf("id = %d after %d", again, id)
	} else {
		w.insertSignIns(t, again) // also what was theirs can be used again
	}
}

func deleteUserRefused(t *testing.T, w *world) {
	member, holder := w.insertUser(t, "member@example.com"), w.insertUser(t, "holder@example.com")
	k := w.key()
	k.UserID = holder
	w.insert(t, k)
	w.update(t, func(tx store.Tx) error {
		return tx.InsertMember(t.Context(), newMember(w.organization, member, key.Viewer))
	})
	for name, id := range map[string]int64{"a member": member, "the holder of a key": holder} {
		s := w.insertSignIns(t, id)
		_, err := w.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteUser(t.Context(), id) })
		wantConflict(t, "DeleteUser of "+name, err, store.NoReference)
		w.wantSignIns(t, s, true) // nothing of it was done
	}
	w.update(t, func(tx store.Tx) error {
		if err := tx.DeleteMember(t.Context(), w.organization, member); err != nil {
			return err
		}
		return tx.DeleteUser(t.Context(), member)
	})
}

func initialised(t *testing.T, w *world) {
	if is, err := w.Initialised(t.Context()); err != nil || !is {
		t.Errorf("Initialised() = %v, %v, want true", is, err)
	}
}
