package sqlite

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
)

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

// bare opens the file as the driver alone would be used, durable and without any tuning, for a floor.
func bare(b *testing.B, s *Store) *sql.DB {
	db := plain(b, "file:"+s.file.real+"?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=1")
	db.SetMaxOpenConns(1)
	return db
}

// BenchmarkUpdateInsertKey is a create as it comes from 64 clients: the caller's standing and key are read, a key and its
// token are inserted, and an entry is added to the audit log, all durable.
func BenchmarkUpdateInsertKey(b *testing.B) {
	s := openFilled(b, Options{Path: newPath(b), Migrate: true}, 1000)
	var n atomic.Int64
	n.Store(1 << 32)
	b.SetParallelism(32) // times GOMAXPROCS
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			digest := digestOf(n.Add(1))
			_, err := s.Update(b.Context(), func(tx store.Tx) error {
				if _, err := tx.Standing(b.Context(), 1, 1); err != nil {
					return err
				}
				if _, err := tx.Key(b.Context(), 500); err != nil {
					return err
				}
				id, err := tx.InsertKey(b.Context(), plainKey(), digest)
				tx.Record(plainEntry(id))
				return err
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkBareInsert is the floor of BenchmarkUpdateInsertKey: one row in a transaction of its own.
func BenchmarkBareInsert(b *testing.B) {
	db := bare(b, openFilled(b, Options{Path: newPath(b), Migrate: true}, 1000))
	insert, err := db.Prepare(sqlstore.InsertToken.Text())
	if err != nil {
		b.Fatal(err)
	}
	n := int64(1 << 33)
	for b.Loop() {
		n++
		digest := digestOf(n)
		if _, err := insert.Exec(digest[:], 1); err != nil {
			b.Fatal(err)
		}
	}
}

const benchKeys = 100_000

func BenchmarkRecordByDigest(b *testing.B) {
	s := openFilled(b, Options{Path: newPath(b), Migrate: true}, benchKeys)
	b.ReportAllocs()
	n := int64(0)
	for b.Loop() {
		n = (n + 7919) % benchKeys
		if _, err := s.RecordByDigest(b.Context(), digestOf(n)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareRecord is the floor of BenchmarkRecordByDigest.
func BenchmarkBareRecord(b *testing.B) {
	db := bare(b, openFilled(b, Options{Path: newPath(b), Migrate: true}, benchKeys))
	query, err := db.Prepare(sqlstore.SelectRecord.Text())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := int64(0)
	for b.Loop() {
		n = (n + 7919) % benchKeys
		digest := digestOf(n)
		var id, organization, user, scopes int64
		var name string
		var metadata []byte
		var expires, tokenExpires sql.NullInt64
		var enabled bool
		err := query.QueryRow(digest[:]).Scan(&id, &organization, &user, &name, &metadata, &expires, &tokenExpires,
			&scopes, &enabled)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStanding asks about two users in turn: SQLite plans a statement anew where a parameter becomes 0 or 1, and
// the first user has the id 1.
func BenchmarkStanding(b *testing.B) {
	s := openFilled(b, Options{Path: newPath(b), Migrate: true}, 10)
	now := time.Now()
	_, err := s.Update(b.Context(), func(tx store.Tx) error {
		_, err := tx.InsertUser(b.Context(), key.User{Email: "b@example.com", CreatedAt: now, UpdatedAt: now})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, users := range [][2]int64{{1, 1}, {2, 2}, {1, 2}} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, err := s.Standing(b.Context(), users[i%2], 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIdentity is what each call with a key begins with.
func BenchmarkIdentity(b *testing.B) {
	s := openFilled(b, Options{Path: newPath(b), Migrate: true}, 10)
	for b.Loop() {
		if id, err := s.Identity(b.Context(), 1, digestOf(3), 1); err != nil || id.Key == nil {
			b.Fatal(id, err)
		}
	}
}

func BenchmarkKeys(b *testing.B) {
	for _, n := range []int{1000, benchKeys} {
		s := openFilled(b, Options{Path: newPath(b), Migrate: true}, n)
		for _, before := range []int64{0, int64(n) / 2} {
			for organization := range int64(2) {
				b.Run(fmt.Sprintf("keys=%d/organization=%d/before=%d", n, organization, before), func(b *testing.B) {
					for b.Loop() {
						keys, err := s.Keys(b.Context(), store.KeyQuery{OrganizationID: organization, Before: before, Limit: 100})
						if err != nil || len(keys) != 100 {
							b.Fatal(len(keys), err)
						}
					}
				})
			}
		}
	}
}
