package admin_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
)

func TestInitialise(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "test.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	service := admin.New(admin.Options{Store: s, Invalidator: new(recorder), TokenPrefix: "acme", Now: time.Now})
	for _, bad := range [][2]string{{"", "x"}, {"no address", "x"}, {"A <a@example.com>", "x"}, {"a@example.com", " "}, {"a@example.com", "a\x00b"}} {
		if _, err := service.Initialise(t.Context(), bad[0], bad[1]); codeOf(err) != key.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// Whoever comes first makes it, and only they.
	var wg sync.WaitGroup
	var mu sync.Mutex
	var made []admin.Initialised
	for range 8 {
		wg.Go(func() {
			m, err := service.Initialise(t.Context(), "a@example.com", "Example")
			mu.Lock()
			defer mu.Unlock()
			switch codeOf(err) {
			case "ok":
				made = append(made, m)
			case key.Conflict:
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(made) != 1 {
		t.Fatalf("%d initialised the database", len(made))
	}
	me, err := service.Me(t.Context(), admin.Caller{UserID: made[0].UserID, Token: made[0].Token.Digest()})
	if err != nil || !me.User.InstanceAdmin || me.User.Email != "a@example.com" || me.Key.Scopes != key.AllScopes ||
		len(me.Memberships) != 1 || me.Memberships[0].Role != key.Owner || me.Memberships[0].OrganizationName != "Example" {
		t.Errorf("me = %+v, %v", me, err)
	}
}
