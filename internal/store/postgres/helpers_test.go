package postgres

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

func open(t testing.TB, dsn string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{DSN: dsn, Migrate: true})
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// openFilled returns a store with user 1, organization 1 and n keys.
func openFilled(t testing.TB, dsn string, n int) *Store {
	t.Helper()
	s := open(t, dsn)
	if err := addAccount(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return s
	}
	if err := addKeys(t.Context(), s, 0, 1); err != nil {
		t.Fatal(err)
	}
	if n > 1 {
		copyKeys(t, dsn, n)
	}
	return s
}

// addAccount makes user 1 and organization 1, and him its owner.
func addAccount(ctx context.Context, s *Store) error {
	now := time.Now()
	_, err := s.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.InsertUser(ctx, key.User{Email: "a@example.com", CreatedAt: now, UpdatedAt: now}); err != nil {
			return err
		}
		if _, err := tx.InsertOrganization(ctx, key.Organization{Name: "o", CreatedAt: now, UpdatedAt: now}); err != nil {
			return err
		}
		return tx.InsertMember(ctx, key.Membership{OrganizationID: 1, UserID: 1, Role: key.Owner, CreatedAt: now})
	})
	return err
}

// addKeys adds n keys, the first with the digest of number from.
func addKeys(ctx context.Context, s *Store, from, n int) error {
	_, err := s.Update(ctx, func(tx store.Tx) error {
		for i := range n {
			if _, err := tx.InsertKey(ctx, plainKey(), digestOf(int64(from+i))); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// copyKeys makes of the one key that there is n of them, by COPY.
func copyKeys(t testing.TB, dsn string, n int) {
	t.Helper()
	conn := plain(t, dsn)
	execute(t, conn, `INSERT INTO api_keys (key_name, scopes, organization_id, user_id, key_hint, enabled, created_at, updated_at)
		SELECT key_name, scopes, organization_id, user_id, key_hint, enabled, created_at, updated_at FROM api_keys, generate_series(2, $1)`, n)
	_, err := conn.CopyFrom(t.Context(), pgx.Identifier{"tokens"}, []string{"digest", "key_id"},
		pgx.CopyFromSlice(n-1, func(i int) ([]any, error) {
			digest := digestOf(int64(i + 1))
			return []any{digest[:], int64(i + 2)}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	execute(t, conn, `VACUUM ANALYZE`)
}

func plainKey() key.Key {
	now := time.Now()
	return key.Key{Name: "Backend API Key", Scopes: key.ScopesOf(key.Read, key.Create), OrganizationID: 1, UserID: 1,
		Hint: "ak_7Gx2…9fQ2", Enabled: true, CreatedAt: now, UpdatedAt: now}
}

// plainEntry is what is recorded where a key was created.
func plainEntry(id int64) audit.Entry {
	return audit.Entry{
		OccurredAt: time.Now(), Actor: audit.Actor{UserID: 1, KeyID: 1}, Action: "key.create",
		Target: audit.Target{Type: audit.Key, ID: id}, OrganizationID: 1, IP: "192.0.2.7", RequestID: "8Vt3kq0Jr1hQ",
		Outcome: audit.Success, After: []byte(`{"key_name":"Backend API Key","key_scope":["READ","CREATE"],"enabled":true}`),
	}
}

// digestOf returns the digest of the n-th token: spread as those of real tokens are, and the same each time.
func digestOf(n int64) (d key.Digest) {
	x := uint64(n)
	for i := 0; i < len(d); i += 8 { // splitmix64
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(d[i:], z^z>>31)
	}
	return d
}

// plain opens a connection with the driver alone, as another program would.
func plain(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t testing.TB, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// count returns the answer to a query for one number.
func count(t testing.TB, conn *pgx.Conn, query string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
