package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look into the file when the server has ended

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
)

// ledger is what busy clients know about the keys they have made and deleted. What a server has acknowledged must be so
// for ever, what it has refused must not have happened, and of the rest either is right, but not half of it.
type ledger struct {
	mu    sync.Mutex
	keys  map[string]*entry // by name, which is different for each
	acked int               // creates and deletes that were acknowledged
	more  chan struct{}     // closed with the next acknowledgement
}

type entry struct {
	id    int64
	token string
	fate  fate
}

type fate string

const (
	alive   fate = "created"
	dead    fate = "deleted"
	refused fate = "refused"
	unknown fate = "not answered"
)

func newLedger() *ledger { return &ledger{keys: map[string]*entry{}, more: make(chan struct{})} }

func (l *ledger) note(name string, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[name] = &e
	if e.fate == alive || e.fate == dead {
		l.acked++
		close(l.more)
		l.more = make(chan struct{})
	}
}

// await waits until n more creates and deletes are acknowledged.
func (l *ledger) await(t testing.TB, n int) {
	t.Helper()
	l.mu.Lock()
	n += l.acked
	l.mu.Unlock()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		acked, more := l.acked, l.more
		l.mu.Unlock()
		if acked >= n {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("of %d changes only %d were acknowledged", n, acked)
		}
	}
}

// count returns how many keys have met a fate.
func (l *ledger) count(f fate) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.keys {
		if e.fate == f {
			n++
		}
	}
	return n
}

// work creates keys, and deletes every other one of them, until ctx ends or a call fails. That the database is
// unavailable is no failure: then nothing was done, and it goes on.
func (l *ledger) work(ctx context.Context, c *client.Client, worker string) error {
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("%s.%d", worker, i)
		created, err := c.CreateKey(ctx, draft(name))
		switch {
		case errors.Is(err, api.ErrUnavailable):
			l.note(name, entry{fate: refused})
			continue
		case err != nil:
			l.note(name, entry{fate: unknown})
			return fmt.Errorf("create: %w", err)
		}
		key := entry{id: created.KeyID, token: created.Token, fate: alive}
		l.note(name, key)
		if rand.IntN(2) == 0 {
			continue
		}
		switch err := c.DeleteKey(ctx, created.KeyID); {
		case err == nil:
			key.fate = dead
			l.note(name, key)
		case errors.Is(err, api.ErrUnavailable): // it lives on
		default:
			key.fate = unknown
			l.note(name, key)
			return fmt.Errorf("delete: %w", err)
		}
	}
	return nil
}

// check holds what a server says about the keys against what is known of them.
func (l *ledger) check(t testing.TB, s *server) {
	t.Helper()
	listed := map[string]api.Key{}
	for k, err := range s.client(s.token).AllKeys(t.Context(), client.ListOptions{Limit: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := listed[k.KeyName]; twice {
			t.Errorf("%s is there twice", k.KeyName)
		}
		listed[k.KeyName] = k
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	names := slices.Sorted(maps.Keys(l.keys))
	answers := verifyAll(t, s, names, func(name string) string { return l.keys[name].token })
	for _, name := range names {
		e := l.keys[name]
		k, there := listed[name]
		valid := answers[name].Code == api.VerifyValid
		switch {
		case e.fate == alive && (!there || !valid), (e.fate == dead || e.fate == refused) && (there || valid),
			e.token != "" && there != valid:
			t.Errorf("%s: %s, in the list: %t, its token: %s", name, e.fate, there, answers[name].Code)
		case there && (e.id != 0 && k.KeyID != e.id || valid && answers[name].KeyID != k.KeyID || !k.Enabled || len(k.KeyScope) != 1):
			t.Errorf("%s: %+v, its token: %+v", name, k, answers[name])
		}
	}
}

// verifyAll asks about the tokens of many, in batches. Those of which no token is known get no answer.
func verifyAll(t testing.TB, s *server, names []string, token func(name string) string) map[string]api.Verification {
	t.Helper()
	answers := map[string]api.Verification{}
	known := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return token(name) == "" })
	for batch := range slices.Chunk(known, api.MaxBatch) {
		questions := make([]api.VerifyRequest, len(batch))
		for i, name := range batch {
			questions[i].Key = token(name)
		}
		got, err := s.verifier().VerifyBatch(t.Context(), questions)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range batch {
			answers[name] = got[i]
		}
	}
	return answers
}

// inspect looks into the file of a server that has ended: whether SQLite finds it whole, and every key has its token.
func inspect(t testing.TB, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]string{
		`PRAGMA integrity_check`:                                                        "ok",
		`SELECT count(*) FROM pragma_foreign_key_check`:                                 "0",
		`SELECT count(*) FROM api_keys WHERE key_id NOT IN (SELECT key_id FROM tokens)`: "0",
	} {
		var got string
		if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", query, got, err, want)
		}
	}
}
