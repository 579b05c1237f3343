package postgres

import (
	"database/sql"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

// benchKeys is how many keys there are.
const benchKeys = 200_000

// Each benchmark of the store has one beside it that does the same with pgx alone, which is its floor. Both are subtests
// of one benchmark, so that they share a database and run one after the other: only their ratio means anything.

func BenchmarkRecordByDigest(b *testing.B) {
	dsn := postgrestest.NewDatabase(b)
	s := openFilled(b, dsn, benchKeys)
	pool := barePool(b, dsn, 8)
	ask := map[string]func(n int64) error{
		"store": func(n int64) error { _, err := s.RecordByDigest(b.Context(), digestOf(n)); return err },
		"pgx":   func(n int64) error { return bareRecord(b, pool, digestOf(n)) },
	}
	for _, clients := range []struct {
		name string
		n    int
	}{{"1", 0}, {"16", 8}} {
		for _, who := range []string{"pgx", "store"} {
			b.Run("clients="+clients.name+"/"+who, func(b *testing.B) {
				b.ReportAllocs()
				if clients.n == 0 {
					n := int64(0)
					for b.Loop() {
						n = (n + 7919) % benchKeys
						if err := ask[who](n); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				var next atomic.Int64
				b.SetParallelism(clients.n) // times GOMAXPROCS
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := ask[who](next.Add(7919) % benchKeys); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func barePool(b *testing.B, dsn string, n int32) *pgxpool.Pool {
	b.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = n
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

func bareRecord(b *testing.B, pool *pgxpool.Pool, digest key.Digest) error {
	var id, organization, user, scopes int64
	var name string
	var metadata *string
	var expires, tokenExpires sql.NullInt64
	var enabled bool
	return pool.QueryRow(b.Context(), sqlstore.SelectRecord.Text(), digest[:]).
		Scan(&id, &organization, &user, &name, &metadata, &expires, &tokenExpires, &scopes, &enabled)
}

// BenchmarkCreate is a create as it comes from 64 clients: the caller is looked up, a key and its token are inserted, and
// an entry is added to the audit log, all durable. Its floor inserts the key and its token alone.
func BenchmarkCreate(b *testing.B) {
	dsn := postgrestest.Start(b).NewDatabase(b) // waits for its disk
	s := openFilled(b, dsn, 1000)
	pool := barePool(b, dsn, 64)
	var n atomic.Int64
	n.Store(1 << 32)
	create := map[string]func(key.Digest) error{
		"store": func(digest key.Digest) error { return storeCreate(b, s, digest) },
		"pgx":   func(digest key.Digest) error { return bareCreate(b, pool, digest) },
	}
	for _, clients := range []struct {
		name string
		n    int
	}{{"1", 0}, {"64", 32}} {
		for _, who := range []string{"pgx", "store"} {
			b.Run("clients="+clients.name+"/"+who, func(b *testing.B) {
				if clients.n == 0 {
					for b.Loop() {
						if err := create[who](digestOf(n.Add(1))); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.SetParallelism(clients.n) // times GOMAXPROCS
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := create[who](digestOf(n.Add(1))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func storeCreate(b *testing.B, s *Store, digest key.Digest) error {
	_, err := s.Update(b.Context(), func(tx store.Tx) error {
		if _, err := tx.Identity(b.Context(), 1, digestOf(500), 1); err != nil {
			return err
		}
		id, err := tx.InsertKey(b.Context(), plainKey(), digest)
		tx.Record(plainEntry(id))
		return err
	})
	return err
}

func bareCreate(b *testing.B, pool *pgxpool.Pool, digest key.Digest) error {
	k := plainKey()
	return pgx.BeginFunc(b.Context(), pool, func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(b.Context(), sqlstore.InsertKey.Text()+` RETURNING key_id`, k.Name, int64(k.Scopes), k.OrganizationID,
			k.UserID, k.Hint, k.Enabled, nil, nil, k.CreatedAt.UnixMicro(), k.UpdatedAt.UnixMicro(), nil, nil).Scan(&id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(b.Context(), sqlstore.InsertToken.Text(), digest[:], id)
		return err
	})
}
