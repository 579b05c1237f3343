package e2e

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/apikeyd/apikeyd/api"
)

// snapshot returns what is known of the keys now.
func (l *ledger) snapshot() map[string]entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]entry, len(l.keys))
	for name, e := range l.keys {
		all[name] = *e
	}
	return all
}

// TestBackupUnderLoad takes backups while 16 clients create and delete keys, and restores each. It is what the database
// was at one moment of the backup: what was acknowledged before is in it, what came later is not.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	book := newLedger()
	var busy sync.WaitGroup
	for worker := range 16 {
		c := s.once(s.token)
		busy.Go(func() {
			if err := book.work(ctx, c, fmt.Sprint(worker)); err != nil && ctx.Err() == nil {
				t.Errorf("beside a backup: %v", err)
			}
		})
	}
	type backup struct {
		folder        string
		before, after map[string]entry
	}
	var backups []backup
	for range 3 {
		book.await(t, 200)
		b := backup{folder: t.TempDir(), before: book.snapshot()}
		p := launch(t, s.folder, nil, binary, "backup", filepath.Join(b.folder, "apikeyd.db"))
		if code := p.wait(); code != 0 {
			t.Fatalf("backup: exit code %d: %s", code, p.stderr)
		}
		b.after = book.snapshot()
		backups = append(backups, b)
	}
	book.await(t, 100)
	stop()
	busy.Wait()
	s.stop()

	for i, b := range backups {
		inspect(t, filepath.Join(b.folder, "apikeyd.db"))
		restored := serve(t, b.folder)
		final := book.snapshot()
		names := slices.Sorted(maps.Keys(final))
		answers := verifyAll(t, restored, names, func(name string) string { return final[name].token })
		in := 0
		for _, name := range names {
			valid := answers[name].Code == api.VerifyValid
			if valid {
				in++
			}
			_, began := b.after[name]
			switch {
			case b.before[name].fate == alive && b.after[name].fate == alive && final[name].fate == alive && !valid:
				t.Errorf("backup %d lacks %s, which was created before", i, name)
			case b.before[name].fate == dead && valid:
				t.Errorf("backup %d has %s, which was deleted before", i, name)
			case !began && valid && final[name].id > newest(b.after)+16: // those under way may be in it
				t.Errorf("backup %d has %s, which was created later", i, name)
			}
		}
		if in < 50 {
			t.Errorf("backup %d has only %d keys", i, in)
		}
		restored.stop()
	}
}

// newest returns the highest id among the keys.
func newest(keys map[string]entry) (id int64) {
	for _, e := range keys {
		id = max(id, e.id)
	}
	return id
}
