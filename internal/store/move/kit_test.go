package move_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/move"
	"github.com/apikeyd/apikeyd/internal/store/postgres"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
)

// start is when everything in the file was made.
var start = time.Date(2026, 11, 22, 18, 54, 3, 120_000, time.UTC)

func digest(of string) key.Digest { return sha256.Sum256([]byte(of)) }

// names are those that may get lost on the way: other scripts, quotes, what the stream of COPY writes in another way as text.
var names = []string{"Backend", `\N`, `"quoted" 'twice'`, `back\slash\.`, "ключ 鍵 🔑", "ends in a space ", "%s{}"}

// newFile returns the path of a closed database with something in every table, n keys, and a few rows that were deleted again.
func newFile(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "apikeyd.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range []func(context.Context, store.Tx) error{
		accounts,
		func(ctx context.Context, tx store.Tx) error { return keys(ctx, tx, n) },
		signedIn,
		func(ctx context.Context, tx store.Tx) error { // the oldest entries were deleted because of their age
			pruned, err := tx.PruneAudit(ctx, start.Add(time.Hour), 3)
			if err == nil && pruned != 3 {
				err = fmt.Errorf("pruned %d entries", pruned)
			}
			return err
		},
		deleted,
	} {
		if _, err := s.Update(t.Context(), func(tx store.Tx) error { return fill(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func accounts(ctx context.Context, tx store.Tx) error {
	for i, email := range []string{"Ada@example.com", "bob@example.com", "gone@example.com"} {
		id, err := tx.InsertUser(ctx, key.User{Email: email, InstanceAdmin: i == 0, CreatedAt: start, UpdatedAt: start})
		if err != nil {
			return err
		}
		if err := tx.SetSignedIn(ctx, id, start.Add(time.Duration(id)*time.Microsecond)); err != nil {
			return err
		}
	}
	for _, o := range []key.Organization{{Name: "Acme"}, {Name: "Ümlaut & Söhne", ExternalID: "customer-9", Metadata: []byte(`{"plan":"gold\u0000"}`)}} {
		o.CreatedAt, o.UpdatedAt = start, start
		id, err := tx.InsertOrganization(ctx, o)
		if err != nil {
			return err
		}
		for user := range int64(2) {
			m := key.Membership{OrganizationID: id, UserID: user + 1, Role: key.Owner, CreatedAt: start}
			if err := tx.InsertMember(ctx, m); err != nil {
				return err
			}
		}
	}
	return tx.SetPassword(ctx, 1, "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaA", start)
}

func keys(ctx context.Context, tx store.Tx, n int) error {
	for i := range n {
		k := key.Key{Name: names[i%len(names)], Scopes: key.ScopesOf(key.Read, key.Manage), OrganizationID: int64(i%2 + 1), UserID: int64(i%2 + 1),
			Hint: "ak_7Gx2…9fQ2", Enabled: i%3 != 0, CreatedAt: start, UpdatedAt: start.Add(time.Duration(i) * time.Microsecond)}
		if i%2 == 0 {
			k.ExpiresAt, k.Metadata = start.AddDate(1, 0, 0), []byte(`{"a":["\t",1e3,null]}`)
			k.Limits, k.Quota = []key.Limit{{Name: "default", Requests: 10, Window: time.Hour}}, key.Quota{Requests: 1000, Period: key.Month}
			k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
		}
		id, err := tx.InsertKey(ctx, k, digest(fmt.Sprint("token ", i)))
		if err != nil {
			return err
		}
		tx.Record(audit.Entry{OccurredAt: start, Actor: audit.Actor{UserID: 1}, Action: "key.create",
			Target: audit.Target{Type: audit.Key, ID: id}, OrganizationID: k.OrganizationID, IP: "192.0.2.7", Outcome: audit.Success,
			After: []byte(`{"key_name":"x"}`)})
	}
	if err := tx.SetLastUsed(ctx, []store.Use{{KeyID: 1, At: start}}); err != nil {
		return err
	}
	for id, q := range map[int64]key.Quota{1: {Requests: 1000, Period: key.Month}, 3: {Requests: 1000}} {
		if _, err := tx.TakeQuota(ctx, store.QuotaTake{KeyID: id, Quota: q, PeriodStart: q.Period.Start(start), Want: 7}); err != nil {
			return err
		}
	}
	used := []store.Checks{{OrganizationID: 1, KeyID: 1, At: start, Outcome: key.CheckValid, Count: 1 << 40}, {OrganizationID: 2, KeyID: 2, At: start, Outcome: key.CheckExpired, Count: 3}}
	if err := tx.AddUsage(ctx, used); err != nil {
		return err
	}
	return tx.ReplaceToken(ctx, 2, digest("rotated"), "ak_new…new1", start.AddDate(2, 0, 0), start)
}

func signedIn(ctx context.Context, tx store.Tx) error {
	for i := range 3 {
		s := key.Session{UserID: 1, Method: key.ByPassword, IP: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11)", CreatedAt: start, LastUsedAt: start,
			ExpiresAt: start.AddDate(0, 0, 7)}
		if _, err := tx.InsertSession(ctx, s, digest(fmt.Sprint("session ", i))); err != nil {
			return err
		}
		if err := tx.KeepDevice(ctx, 2, digest(fmt.Sprint("device ", i)), start); err != nil {
			return err
		}
		if err := tx.InsertLink(ctx, key.Link{UserID: 2, CreatedAt: start, ExpiresAt: start}, digest(fmt.Sprint("link ", i))); err != nil {
			return err
		}
	}
	// In the order of their bytes; by the rules of a language they would stand otherwise.
	for _, subject := range []string{"B", "a", "Z", "é", "-", "ab", "a b"} {
		if err := tx.InsertIdentity(ctx, "https://login.example.com", subject, 1, start); err != nil {
			return err
		}
	}
	return nil
}

// deleted takes away the rows with the highest ids, which must not be given again.
func deleted(ctx context.Context, tx store.Tx) error {
	id, err := tx.InsertKey(ctx, key.Key{Name: "gone", OrganizationID: 1, UserID: 1, CreatedAt: start, UpdatedAt: start}, digest("gone"))
	if err != nil {
		return err
	}
	if err := tx.DeleteKey(ctx, id); err != nil {
		return err
	}
	if err := tx.KeepLeak(ctx, digest("leaked"), store.Leak{KeyID: id, OrganizationID: 1, At: start}); err != nil {
		return err
	}
	if err := tx.DeleteSession(ctx, 3); err != nil {
		return err
	}
	return tx.DeleteUser(ctx, 3)
}

// copyTo copies a file, and tells of each step.
func copyTo(ctx context.Context, path, dsn string, tell func(move.Progress)) (rows int64, err error) {
	source, err := sqlite.OpenContents(ctx, path)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	target, err := postgres.OpenTarget(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer target.Close()
	return move.Copy(ctx, source, target, tell)
}

func quietly(move.Progress) {}
