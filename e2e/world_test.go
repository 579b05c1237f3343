package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/token"
)

// The organizations of a world.
const (
	ours  = 1
	other = 2
)

// keyOf is a key of a world, and its token.
type keyOf struct {
	id    int64
	token string
}

// world is a server whose database has several organizations, users and keys, before anything was done through the API.
type world struct {
	*server
	t    *testing.T
	keys map[string]keyOf
}

// people are the users of a world beside the first one, who is an instance admin and owner of our organization.
var people = []struct {
	name         string
	organization int64
	role         key.Role
}{
	{"member", ours, key.Member},
	{"viewer", ours, key.Viewer},
	{"admin", ours, key.Admin},
	{"stranger", other, key.Owner},
}

const readWrite = key.Scopes(key.Read | key.Create | key.Update | key.Delete)

// keysOf are the keys of a world, by name: whose they are, and what they may do.
var keysOf = []struct {
	name, user string
	scopes     key.Scopes
	change     func(*key.Key)
}{
	{"root", "root", key.AllScopes, nil},
	{"root without MANAGE", "root", readWrite, nil},
	{"member", "member", readWrite, nil},
	{"member, READ", "member", key.ScopesOf(key.Read), nil},
	{"member, CREATE", "member", key.ScopesOf(key.Create), nil},
	{"viewer", "viewer", key.ScopesOf(key.Read), nil},
	{"demoted", "viewer", readWrite, nil}, // made while they were more than a viewer
	{"admin", "admin", key.AllScopes, nil},
	{"stranger", "stranger", key.AllScopes, nil},
	{"disabled", "member", readWrite, func(k *key.Key) { k.Enabled = false }},
	{"expired", "member", readWrite, func(k *key.Key) { k.ExpiresAt = time.Now().Add(-time.Hour) }},
	{"expired and disabled", "member", readWrite, func(k *key.Key) { k.Enabled, k.ExpiresAt = false, time.Now().Add(-time.Hour) }},
}

// serveWorld makes a world in a new folder and starts a server in it.
func serveWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, keys: map[string]keyOf{}}
	folder := t.TempDir()
	if err := w.populate(filepath.Join(folder, "apikeyd.db")); err != nil {
		t.Fatal(err)
	}
	w.server = serve(t, folder)
	w.server.token = w.keys["root"].token
	return w
}

func (w *world) populate(path string) error {
	ctx := w.t.Context()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Migrate: true})
	if err != nil {
		return err
	}
	defer s.Close()
	service := admin.New(admin.Options{Store: s, Invalidator: nobody{}, Now: time.Now, TokenPrefix: token.DefaultPrefix})
	if _, err := service.Initialise(ctx, "root@example.com", "Ours"); err != nil {
		return err
	}
	_, err = s.Update(ctx, func(tx store.Tx) error {
		now := time.Now()
		if _, err := tx.InsertOrganization(ctx, key.Organization{Name: "Other", CreatedAt: now, UpdatedAt: now}); err != nil {
			return err
		}
		users, homes := map[string]int64{"root": 1}, map[string]int64{"root": ours}
		for _, p := range people {
			id, err := tx.InsertUser(ctx, key.User{Email: p.name + "@example.com", CreatedAt: now, UpdatedAt: now})
			if err != nil {
				return err
			}
			users[p.name], homes[p.name] = id, p.organization
			err = tx.InsertMember(ctx, key.Membership{OrganizationID: p.organization, UserID: id, Role: p.role, CreatedAt: now})
			if err != nil {
				return err
			}
		}
		for _, d := range keysOf {
			secret := token.New(token.DefaultPrefix)
			k := key.Key{Name: d.name, Scopes: d.scopes, OrganizationID: homes[d.user], UserID: users[d.user], Hint: secret.Hint(),
				Enabled: true, CreatedAt: now, UpdatedAt: now}
			if d.change != nil {
				d.change(&k)
			}
			id, err := tx.InsertKey(ctx, k, secret.Digest())
			if err != nil {
				return err
			}
			w.keys[d.name] = keyOf{id, secret.Reveal()}
		}
		return nil
	})
	return err
}

// nobody has cached anything while a world is made.
type nobody struct{}

func (nobody) Invalidate([]store.Change) {}
