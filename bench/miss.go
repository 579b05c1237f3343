package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store/sqlite"
	"github.com/apikeyd/apikeyd/internal/store/sqlstore"
	"github.com/apikeyd/apikeyd/internal/usage"
	"github.com/apikeyd/apikeyd/internal/verify"
)

// measureMiss measures checks of keys that are not in the cache, and the query that such a check needs, prepared on the
// bare driver. Both read keys at random, one after the other, from the same file.
func measureMiss(ctx context.Context, b *bench) (_ []figure, err error) {
	path, err := b.largeFile(ctx)
	if err != nil {
		return nil, err
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	db, err := bareReader(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	query, err := db.PrepareContext(ctx, sqlstore.SelectRecord.Text())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, query.Close()) }()
	// As small as a cache can be: next to nothing is found in it.
	checker := verify.New(verify.Options{Tokens: s, Usage: usage.NewRecorder(discard{}, slog.New(slog.DiscardHandler)),
		Now: time.Now, CacheBytes: 16 << 10, NegativeCacheBytes: 16 << 10})

	f := figure{What: fmt.Sprintf("a check, key not in cache, %s keys in the file", count(b.size.Keys)), Unit: "/s", Bound: bound{atLeast, 0.5}}
	err = inTurn(ctx, b.size.Rounds,
		func() error {
			perSecond, err := b.lookUp(checkOf(ctx, checker))
			f.Ours = append(f.Ours, perSecond)
			return err
		},
		func() error {
			perSecond, err := b.lookUp(func(_ keyfile.Text, digest key.Digest) error {
				return scanRecord(query.QueryRow(digest[:]))
			})
			f.Floor = append(f.Floor, perSecond)
			return err
		})
	if err != nil {
		return nil, err
	}
	if st := checker.Stats(); st.Hits > st.Misses/100 {
		return nil, fmt.Errorf("%d of %d checks found their key in the cache", st.Hits, st.Hits+st.Misses)
	}
	return []figure{f}, nil
}

// lookUp looks up keys at random and returns how many it could in a second.
func (b *bench) lookUp(one func(keyfile.Text, key.Digest) error) (perSecond float64, err error) {
	texts := make([]keyfile.Text, b.size.Lookups)
	digests := make([]key.Digest, len(texts))
	for i := range texts {
		texts[i] = keyfile.Token(1 + rand.Int64N(b.size.Keys))
		digests[i] = sha256.Sum256(texts[i][:])
	}
	began := time.Now()
	for i := range texts {
		if err := one(texts[i], digests[i]); err != nil {
			return 0, err
		}
	}
	return float64(len(texts)) / time.Since(began).Seconds(), nil
}

// checkOf returns a check of a key that must be valid.
func checkOf(ctx context.Context, c *verify.Checker) func(keyfile.Text, key.Digest) error {
	return func(text keyfile.Text, _ key.Digest) error {
		d, err := c.Check(ctx, text[:], key.Question{Scope: key.Read})
		if err == nil && d.Outcome != key.CheckValid {
			err = fmt.Errorf("a key is %v", d.Outcome)
		}
		return err
	}
}

// scanRecord reads the answer to the query of a check.
func scanRecord(row interface{ Scan(...any) error }) error {
	var keyID, organizationID, userID, scopes int64
	var name string
	var metadata, restrictions sql.NullString
	var expires, tokenExpires, generation sql.NullInt64
	var enabled bool
	return row.Scan(&keyID, &organizationID, &userID, &name, &metadata, &expires, &tokenExpires, &scopes, &enabled, &restrictions, &generation)
}
