package keyfile

import (
	"path/filepath"
	"testing"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/token"
)

func TestTokensAreTokens(t *testing.T) {
	seen := map[Text]bool{}
	for id := range int64(10_000) {
		text := Token(id)
		if !token.WellFormed(text[:]) {
			t.Fatalf("token %d is not well-formed: %s", id, text)
		}
		if seen[text] {
			t.Fatalf("token %d is not the only one of its text", id)
		}
		if text != Token(id) {
			t.Fatalf("token %d is another one the second time", id)
		}
		seen[text] = true
	}
}

// TestMake holds a file against the store: whatever changes in the schema must change here.
func TestMake(t *testing.T) {
	const keys = 2_345
	path := filepath.Join(t.TempDir(), "keys.db")
	if err := Make(t.Context(), path, keys); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for id := int64(1); id <= keys; id++ {
		r, err := s.RecordByDigest(t.Context(), Digest(id))
		if err != nil {
			t.Fatalf("key %d: %v", id, err)
		}
		want := key.Record{KeyID: id, OrganizationID: Organization(id, keys), UserID: Organization(id, keys), Name: name(id),
			Scopes: key.AllScopes, Enabled: true}
		if *r != want {
			t.Fatalf("record %+v, want %+v", *r, want)
		}
	}
	page, err := s.Keys(t.Context(), store.KeyQuery{OrganizationID: Large, UserID: Large, Limit: keys})
	if err != nil || len(page) != keys/share || page[0].ID != OfLarge(keys/share) {
		t.Errorf("the large organization has %d keys, %v, want %d", len(page), err, keys/share)
	}
	text := Token(page[0].ID)
	if got, want := page[0].Hint, string(text[:7])+"…"+string(text[len(text)-4:]); got != want {
		t.Errorf("hint %s, want %s", got, want)
	}
	if standing, err := s.Standing(t.Context(), Large, Large); err != nil || standing.Role != key.Owner {
		t.Errorf("standing %+v, %v, want an owner", standing, err)
	}
	if id, err := insertAnother(t, s); err != nil || id != keys+1 {
		t.Errorf("the next key has the id %d, %v, want %d", id, err, keys+1)
	}
}

func insertAnother(t *testing.T, s *sqlite.Store) (id int64, err error) {
	_, err = s.Update(t.Context(), func(tx store.Tx) error {
		id, err = tx.InsertKey(t.Context(), key.Key{Name: "another", Scopes: key.AllScopes, OrganizationID: Large, UserID: Large,
			Hint: "ak_…", CreatedAt: made, UpdatedAt: made}, key.Digest{})
		return err
	})
	return id, err
}

func TestKept(t *testing.T) {
	dir := t.TempDir()
	told := 0
	tell := func(string, ...any) { told++ }
	first, err := Kept(t.Context(), dir, 100, tell)
	if err != nil {
		t.Fatal(err)
	}
	if told == 0 {
		t.Error("nobody was told")
	}
	told = 0
	if again, err := Kept(t.Context(), dir, 100, tell); err != nil || again != first || told != 0 {
		t.Errorf("the second time: %s, %v, told %d times", again, err, told)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}
