package storetest

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/store"
)

var auditTests = []test{
	{"an audit log begins empty", auditBeginsEmpty},
	{"an entry comes back as it was recorded", entryComesBack},
	{"an entry shares no memory with the store", entryMemory},
	{"a transaction that only records is kept", refusalAlone},
	{"an entry of what fails never appears", entryOfFailure},
	{"entries of one transaction are together, in their order", entriesOfOneTransaction},
	{"transactions that arrive together form one chain, without those that fail", chainOfThoseTogether},
	{"64 goroutines that record form one chain", manyRecord},
	{"times never go back", auditTimesRise},
	{"the restrictions of the audit log hold, each and together", auditRestrictions},
	{"a group of actions is what stands before its star", auditGroups},
	{"From is inclusive, To is not", auditTimes},
	{"pages of the audit log put together are the whole", auditPages},
	{"AuditAfter gives entries oldest first", auditAfter},
	{"a page of the audit log has a limit", auditWithoutLimit},
	{"PruneAudit deletes the oldest, and what is left can be verified", pruneAudit},
	{"a log that was pruned as a whole goes on", pruneAll},
	{"PruneAudit of what fails prunes nothing", pruneInVain},
}

// entry returns an entry with everything set.
func (w *world) entry() audit.Entry {
	return audit.Entry{
		OccurredAt: start, Actor: audit.Actor{UserID: w.user, KeyID: 17, SessionID: 18}, Action: "key.update",
		Target: audit.Target{Type: audit.Key, ID: 19}, OrganizationID: w.organization, IP: "192.0.2.7", RequestID: "8Vt3kq0Jr1hQ",
		Outcome: audit.Success, Before: []byte(`{"enabled":true}`), After: []byte(`{"enabled":false}`),
	}
}

// record adds entries to the log in a transaction of their own.
func (w *world) record(t *testing.T, entries ...audit.Entry) {
	t.Helper()
	wantChanges(t, w.update(t, func(tx store.Tx) error {
		for _, e := range entries {
			tx.Record(e)
		}
		return nil
	}))
}

// verified walks through the whole log, fails where its chain is broken, and returns it, oldest first. The log may
// grow meanwhile.
func (w *world) verified(t *testing.T) (entries []audit.Entry) {
	t.Helper()
	extent, err := w.AuditExtent(t.Context())
	reached := extent.Pruned
	for err == nil {
		var page []audit.Entry
		if page, err = w.AuditAfter(t.Context(), reached.ID, 100); err != nil {
			break
		}
		for _, e := range page {
			if reached, err = audit.Follow(reached, &e); err != nil {
				break
			}
		}
		entries = append(entries, page...)
		if len(page) > 0 {
			continue
		}
		before := extent
		if extent, err = w.AuditExtent(t.Context()); err == nil && extent == before { // nothing was added since
			err = extent.End(reached)
			break
		}
	}
	if err != nil || reached != extent.Last {
		t.Errorf("the log leads to %+v, %v, want %+v", reached, err, extent.Last)
	}
	return entries
}

// requests lists the request ids of entries.
func requests(entries []audit.Entry) (ids []string) {
	for _, e := range entries {
		ids = append(ids, e.RequestID)
	}
	return ids
}

func auditBeginsEmpty(t *testing.T, w *world) {
	if extent, err := w.AuditExtent(t.Context()); err != nil || extent != (audit.Extent{}) {
		t.Errorf("AuditExtent() = %+v, %v, want a zero one", extent, err)
	}
	if entries := w.verified(t); len(entries) != 0 {
		t.Errorf("the log holds %+v", entries)
	}
	for _, q := range []store.AuditQuery{{}, {OrganizationID: w.organization}, {From: start}, {To: start}, {From: start, To: start}} {
		q.Limit = 10
		if entries, err := w.AuditLog(t.Context(), q); err != nil || len(entries) != 0 {
			t.Errorf("AuditLog(%+v) = %+v, %v", q, entries, err)
		}
	}
	w.update(t, func(tx store.Tx) error {
		n, err := tx.PruneAudit(t.Context(), start, 10)
		if n != 0 {
			t.Errorf("PruneAudit() = %d", n)
		}
		return err
	})
}

func entryComesBack(t *testing.T, w *world) {
	refused := w.entry()
	refused.Action, refused.Outcome, refused.Code, refused.Before, refused.After = "key.read", audit.Refused, "not_found", nil, nil
	hostile := w.entry()
	hostile.IP, hostile.RequestID = `'; DROP TABLE audit_log; --`, "𝕬 \u200d \\ %_ $1"
	hostile.Before = []byte(`{"nul":"\u0000","x":"` + strings.Repeat("y", 100_000) + `"}`)
	given := []audit.Entry{
		w.entry(), refused, hostile,
		{OccurredAt: start, Outcome: audit.Success}, // nothing that can be left out
		{OccurredAt: start, Target: audit.Target{Type: audit.User, ID: -1}, Actor: audit.Actor{UserID: 1 << 62}},
	}
	w.record(t, given...)
	var head audit.Head
	for i, e := range w.verified(t) {
		want := given[i].Chain(head)
		if !reflect.DeepEqual(e, want) {
			t.Errorf("entry = %+v, want %+v", e, want)
		}
		head = want.Head()
	}
	if extent, err := w.AuditExtent(t.Context()); err != nil || extent != (audit.Extent{Last: head}) {
		t.Errorf("AuditExtent() = %+v, %v, want the end at %+v", extent, err, head)
	}
	list, err := w.AuditLog(t.Context(), store.AuditQuery{Limit: 10})
	slices.Reverse(list)
	if err != nil || !reflect.DeepEqual(list, w.verified(t)) {
		t.Errorf("AuditLog() = %+v, %v, want what AuditAfter gives", list, err)
	}
}

func entryMemory(t *testing.T, w *world) {
	e := w.entry()
	w.update(t, func(tx store.Tx) error {
		e = w.entry()
		tx.Record(e)
		clear(e.Before)
		clear(e.After)
		return nil
	})
	want := w.entry()
	for range 2 { // the second time after the first answer was spoilt
		list, err := w.AuditLog(t.Context(), store.AuditQuery{Limit: 1})
		if err != nil || len(list) != 1 || string(list[0].Before) != string(want.Before) || string(list[0].After) != string(want.After) {
			t.Fatalf("AuditLog() = %+v, %v, want %s and %s", list, err, want.Before, want.After)
		}
		clear(list[0].Before)
		clear(list[0].After)
	}
}

func refusalAlone(t *testing.T, w *world) {
	e := w.entry()
	e.Outcome, e.Code = audit.Refused, "forbidden"
	w.update(t, func(tx store.Tx) error {
		if _, err := tx.User(t.Context(), w.user); err != nil {
			return err
		}
		tx.Record(e)
		return nil
	})
	if log := w.verified(t); len(log) != 1 || log[0].Code != "forbidden" {
		t.Errorf("the log holds %+v, want the one refusal", log)
	}
}

func entryOfFailure(t *testing.T, w *world) {
	record := func(tx store.Tx) { tx.Record(w.entry()) }
	for name, fn := range map[string]func(tx store.Tx) error{
		"fails": func(tx store.Tx) error { record(tx); return errMine },
		"fails after it wrote": func(tx store.Tx) error {
			tx.InsertUser(t.Context(), newUser("x@example.com"))
			record(tx)
			return errMine
		},
		"ignores a failure": func(tx store.Tx) error {
			record(tx)
			tx.InsertUser(t.Context(), newUser("ada@example.com"))
			record(tx)
			return nil
		},
		"finds nothing": func(tx store.Tx) error { record(tx); return tx.DeleteKey(t.Context(), 1<<40) },
	} {
		if _, err := w.Update(t.Context(), fn); err == nil {
			t.Errorf("what %s succeeds", name)
		}
	}
	var group sync.WaitGroup
	group.Go(func() {
		w.Update(t.Context(), func(tx store.Tx) error { record(tx); runtime.Goexit(); return nil })
	})
	group.Go(func() {
		defer func() { recover() }()
		w.Update(t.Context(), func(tx store.Tx) error { record(tx); panic("mine") })
	})
	group.Wait()
	var leaked store.Tx
	w.update(t, func(tx store.Tx) error { leaked = tx; return nil })
	record(leaked)
	w.update(t, func(store.Tx) error { return nil })
	if log := w.verified(t); len(log) != 0 {
		t.Errorf("the log holds %+v, want nothing", log)
	}
}

func entriesOfOneTransaction(t *testing.T, w *world) {
	w.update(t, func(tx store.Tx) error {
		for i := range 3 {
			e := w.entry()
			e.RequestID = fmt.Sprint(i)
			tx.Record(e)
			if _, err := tx.InsertKey(t.Context(), w.key(), w.digest()); err != nil {
				return err
			}
		}
		// What is recorded is seen when it is kept.
		if log, err := tx.AuditLog(t.Context(), store.AuditQuery{Limit: 10}); err != nil || len(log) != 0 {
			t.Errorf("AuditLog() inside of the transaction = %+v, %v", log, err)
		}
		return nil
	})
	w.record(t, w.entry(), w.entry())
	log := w.verified(t)
	if len(log) != 5 || !slices.Equal(requests(log[:3]), []string{"0", "1", "2"}) {
		t.Errorf("the log holds %v", requests(log))
	}
}

// chainOfThoseTogether sends transactions while another one holds the turn, so that they arrive together.
func chainOfThoseTogether(t *testing.T, w *world) {
	hold, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := w.Update(t.Context(), func(store.Tx) error { close(hold); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-hold
	const n = 60
	var want []string
	for i := range n {
		digest := w.digest()
		if i%4 < 3 {
			want = append(want, fmt.Sprint(i, " first"), fmt.Sprint(i, " second"))
		}
		group.Go(func() {
			_, err := w.Update(t.Context(), func(tx store.Tx) error {
				for _, name := range []string{"first", "second"} {
					e := w.entry()
					e.RequestID = fmt.Sprint(i, " ", name)
					tx.Record(e)
				}
				switch i % 4 {
				case 0: // a refusal: nothing but the entries
					return nil
				case 3:
					tx.InsertKey(t.Context(), w.key(), digest)
					return errMine
				}
				_, err := tx.InsertKey(t.Context(), w.key(), digest)
				return err
			})
			if (err != nil) != (i%4 == 3) {
				t.Errorf("transaction %d: %v", i, err)
			}
		})
	}
	close(release)
	group.Wait()
	got := requests(w.verified(t))
	for i := 0; i+1 < len(got); i += 2 {
		var first, second int
		fmt.Sscanf(got[i], "%d first", &first)
		if fmt.Sscanf(got[i+1], "%d second", &second); first != second {
			t.Errorf("entries %q and %q stand side by side, want those of one transaction", got[i], got[i+1])
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

// manyRecord has 64 goroutines record, while another one walks through the log again and again.
func manyRecord(t *testing.T, w *world) {
	const goroutines, each = 64, 8
	done := make(chan struct{})
	var walker, group sync.WaitGroup
	walker.Go(func() {
		for {
			w.verified(t)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for g := range goroutines {
		group.Go(func() {
			for i := range each {
				e := w.entry()
				e.RequestID = fmt.Sprint(g, " ", i)
				e.OccurredAt = start.Add(time.Duration(g*i%7) * time.Second)
				_, err := w.Update(t.Context(), func(tx store.Tx) error { tx.Record(e); return nil })
				if err != nil {
					t.Error(err)
					return
				}
				last, err := w.AuditLog(t.Context(), store.AuditQuery{ActorUserID: w.user, Limit: goroutines * each})
				if err != nil || !slices.Contains(requests(last), e.RequestID) {
					t.Errorf("an entry is not there when its Update has returned: %v", err)
				}
			}
		})
	}
	group.Wait()
	close(done)
	walker.Wait()
	got := requests(w.verified(t))
	slices.Sort(got)
	if len(got) != goroutines*each || len(slices.Compact(got)) != goroutines*each {
		t.Errorf("the log holds %d entries, want %d", len(got), goroutines*each)
	}
}

func auditTimesRise(t *testing.T, w *world) {
	given := []time.Time{
		start.Add(time.Second + 999*time.Microsecond), start, start.Add(-time.Hour), start.Add(2 * time.Second).In(time.FixedZone("", 3600)), {},
	}
	want := []time.Time{
		start.Add(time.Second), start.Add(time.Second), start.Add(time.Second), start.Add(2 * time.Second), start.Add(2 * time.Second),
	}
	for i, at := range given {
		e := w.entry()
		e.OccurredAt = at
		if i%2 == 0 {
			w.record(t, e)
			continue
		}
		w.record(t, e, e) // of one transaction, too
		want = slices.Insert(want, len(w.verified(t))-1, want[len(w.verified(t))-2])
	}
	for i, e := range w.verified(t) {
		if e.OccurredAt != want[i] {
			t.Errorf("time of entry %d = %v, want %v", e.ID, e.OccurredAt, want[i])
		}
	}
}

// mixedLog records entries of every kind, and returns the log, oldest first.
func (w *world) mixedLog(t *testing.T) []audit.Entry {
	t.Helper()
	actions := []audit.Action{"key.create", "key.update", "organization.update", "session.create", "keyring.create"}
	types := []string{audit.Key, audit.Organization, audit.Session}
	var entries []audit.Entry
	for i := range 240 {
		e := w.entry()
		e.OccurredAt = start.Add(time.Duration(i/3) * time.Second) // three share a time
		e.Action = actions[i%len(actions)]
		e.Target = audit.Target{Type: types[i/2%len(types)], ID: int64(i / 3 % 4)}
		e.OrganizationID = []int64{0, w.organization, w.otherOrganization}[i/4%3]
		e.Actor = audit.Actor{UserID: []int64{0, w.user, w.otherUser}[i/5%3], KeyID: int64(i / 7 % 3)}
		e.Outcome = audit.Outcome(1 + i/3%2)
		entries = append(entries, e)
	}
	w.record(t, entries[:200]...)
	w.record(t, entries[200:]...)
	return w.verified(t)
}

// describesEntry says in Go what a query asks for.
func describesEntry(q store.AuditQuery, e audit.Entry) bool {
	action := string(e.Action) == q.Action
	if group, ok := strings.CutSuffix(q.Action, ".*"); ok {
		action = strings.HasPrefix(string(e.Action), group+".")
	}
	return (q.OrganizationID == 0 || e.OrganizationID == q.OrganizationID) &&
		(q.ActorUserID == 0 || e.Actor.UserID == q.ActorUserID) &&
		(q.ActorKeyID == 0 || e.Actor.KeyID == q.ActorKeyID) &&
		(q.Action == "" || action) &&
		(q.TargetType == "" || e.Target.Type == q.TargetType) &&
		(q.TargetID == 0 || e.Target.ID == q.TargetID) &&
		(q.Outcome == 0 || e.Outcome == q.Outcome) &&
		(q.From.IsZero() || !e.OccurredAt.Before(q.From)) &&
		(q.To.IsZero() || e.OccurredAt.Before(q.To)) &&
		(q.Before == 0 || e.ID < q.Before)
}

func described(q store.AuditQuery, log []audit.Entry) (ids []int64) {
	for _, e := range slices.Backward(log) {
		if describesEntry(q, e) && len(ids) < q.Limit {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func entryIDs(entries []audit.Entry) (ids []int64) {
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

// wantLog fails where the answer to q is not what it asks for of log.
func wantLog(t *testing.T, r store.Reader, q store.AuditQuery, log []audit.Entry) {
	t.Helper()
	got, err := r.AuditLog(t.Context(), q)
	if want := described(q, log); err != nil || !slices.Equal(entryIDs(got), want) {
		t.Fatalf("AuditLog(%+v) = %v, %v, want %v", q, entryIDs(got), err, want)
	}
}

func auditRestrictions(t *testing.T, w *world) {
	log := w.mixedLog(t)
	restrict := []func(*store.AuditQuery){
		func(q *store.AuditQuery) { q.OrganizationID = w.organization },
		func(q *store.AuditQuery) { q.ActorUserID = w.user },
		func(q *store.AuditQuery) { q.ActorKeyID = 1 },
		func(q *store.AuditQuery) { q.Action = "key.*" },
		func(q *store.AuditQuery) { q.TargetType = audit.Key },
		func(q *store.AuditQuery) { q.TargetID = 2 },
		func(q *store.AuditQuery) { q.Outcome = audit.Refused },
		func(q *store.AuditQuery) { q.From = start.Add(10 * time.Second) },
		func(q *store.AuditQuery) { q.To = start.Add(70 * time.Second) },
		func(q *store.AuditQuery) { q.Before = log[150].ID },
		func(q *store.AuditQuery) { q.Limit = 3 },
	}
	all := func(fn func(q store.AuditQuery)) {
		for set := range 1 << len(restrict) {
			q := store.AuditQuery{Limit: 1000}
			for i, r := range restrict {
				if set&(1<<i) != 0 {
					r(&q)
				}
			}
			fn(q)
		}
	}
	all(func(q store.AuditQuery) { wantLog(t, w, q, log) })
	for _, q := range []store.AuditQuery{
		{OrganizationID: 1 << 40}, {ActorUserID: 1 << 40}, {ActorKeyID: 1 << 40}, {Action: "key.delete"}, {TargetType: "no such"},
		{TargetType: audit.Key, TargetID: 1 << 40}, {TargetType: "no such", TargetID: 1}, {TargetID: 1 << 40}, {Outcome: 3}, {Before: 1},
		{Action: "key.create", Outcome: audit.Success, TargetType: audit.Organization, TargetID: 1},
	} {
		q.Limit = 1000
		wantLog(t, w, q, log)
	}
	// The same questions inside of a transaction.
	w.update(t, func(tx store.Tx) error {
		for _, r := range restrict {
			q := store.AuditQuery{Limit: 1000}
			r(&q)
			wantLog(t, tx, q, log)
		}
		return nil
	})
}

func auditGroups(t *testing.T, w *world) {
	actions := []audit.Action{"key.create", "key.list", "key", "key.", "keys.create", "KEY.create", "k_y.create", "k%.create", "a.b.c", "*", ".*", "key.*"}
	for _, a := range actions {
		e := w.entry()
		e.Action = a
		w.record(t, e)
	}
	for action, want := range map[string][]audit.Action{
		"key.*":      {"key.create", "key.list", "key.", "key.*"},
		"key.create": {"key.create"},
		"key":        {"key"},
		"key*":       nil,
		"k_y.*":      {"k_y.create"},
		"k%.*":       {"k%.create"},
		"a.*":        {"a.b.c"},
		"a.b.*":      {"a.b.c"},
		"*":          {"*"},
		".*":         {".*"},
		"*.*":        nil,
		"key.cre.*":  nil,
	} {
		log, err := w.AuditLog(t.Context(), store.AuditQuery{Action: action, Limit: 100})
		var got []audit.Action
		for _, e := range slices.Backward(log) {
			got = append(got, e.Action)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("action %q gives %q, %v, want %q", action, got, err, want)
		}
	}
}

func auditTimes(t *testing.T, w *world) {
	log := w.mixedLog(t)
	times := []time.Time{{}, start.Add(-time.Hour), start.Add(200 * time.Hour)}
	for _, second := range []time.Duration{0, 1, 40, 79, 80} {
		for _, ms := range []time.Duration{-1, 0, 1} {
			times = append(times, start.Add(second*time.Second+ms*time.Millisecond))
		}
	}
	ask := func() {
		t.Helper()
		for _, from := range times {
			for _, to := range times { // also where to is before from
				q := store.AuditQuery{From: from, To: to, Limit: 1000}
				wantLog(t, w, q, log)
				q.Before, q.OrganizationID = log[len(log)/2].ID, w.organization
				wantLog(t, w, q, log)
			}
		}
	}
	ask()
	w.update(t, func(tx store.Tx) error { _, err := tx.PruneAudit(t.Context(), start.Add(time.Hour), 100); return err })
	log = log[100:]
	ask()
}

func auditPages(t *testing.T, w *world) {
	log := w.mixedLog(t)
	for _, q := range []store.AuditQuery{
		{}, {OrganizationID: w.organization}, {TargetType: audit.Key, TargetID: 1}, {TargetType: audit.Key}, {Action: "key.*"},
		{From: start.Add(5 * time.Second), To: start.Add(60 * time.Second)}, {ActorUserID: w.user, Outcome: audit.Refused},
	} {
		for _, size := range []int{1, 7, 60, 240} {
			q.Before, q.Limit = 0, len(log)
			want := described(q, log)
			var got []int64
			for q.Limit = size; ; q.Before = got[len(got)-1] {
				page, err := w.AuditLog(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, entryIDs(page)...)
				if len(page) < size {
					break
				}
				if len(got) < 3*size {
					w.record(t, w.entry()) // in front of the next page
				}
			}
			got = slices.DeleteFunc(got, func(id int64) bool { return id > log[len(log)-1].ID }) // recorded for another size
			if !slices.Equal(got, want) {
				t.Errorf("AuditLog(%+v) in pages of %d = %v, want %v", q, size, got, want)
			}
		}
	}
}

func auditAfter(t *testing.T, w *world) {
	log := w.mixedLog(t)
	for _, after := range []int64{0, 1, 100, 239, 240, 1 << 40} {
		for _, limit := range []int{1, 50, 1000} {
			got, err := w.AuditAfter(t.Context(), after, limit)
			want := log[min(after, int64(len(log))):]
			want = want[:min(limit, len(want))]
			if err != nil || !slices.Equal(entryIDs(got), entryIDs(want)) {
				t.Errorf("AuditAfter(%d, %d) = %v, %v, want %v", after, limit, entryIDs(got), err, entryIDs(want))
			}
		}
	}
}

func auditWithoutLimit(t *testing.T, w *world) {
	w.record(t, w.entry())
	for _, limit := range []int{0, -1} {
		if log, err := w.AuditLog(t.Context(), store.AuditQuery{Limit: limit}); err == nil {
			t.Errorf("AuditLog with limit %d = %v, want an error", limit, log)
		}
		if log, err := w.AuditAfter(t.Context(), 0, limit); err == nil {
			t.Errorf("AuditAfter with limit %d = %v, want an error", limit, log)
		}
		_, err := w.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.PruneAudit(t.Context(), start.AddDate(1, 0, 0), limit)
			return err
		})
		if log := w.verified(t); err == nil || len(log) != 1 {
			t.Errorf("PruneAudit with limit %d: %v, and the log holds %v", limit, err, log)
		}
	}
}

func pruneAudit(t *testing.T, w *world) {
	log := w.mixedLog(t) // three entries each second
	prune := func(before time.Time, limit, want int) {
		t.Helper()
		wantChanges(t, w.update(t, func(tx store.Tx) error {
			n, err := tx.PruneAudit(t.Context(), before, limit)
			if n != want {
				t.Errorf("PruneAudit() = %d, want %d", n, want)
			}
			extent, e := tx.AuditExtent(t.Context())
			rest, _ := tx.AuditAfter(t.Context(), 0, 1)
			if e != nil || len(rest) != 1 || extent.Pruned.ID != rest[0].ID-1 {
				t.Errorf("inside of the transaction the log begins behind %d, %v, with %v", extent.Pruned.ID, e, entryIDs(rest))
			}
			return err
		}))
		log = log[want:]
		if rest := w.verified(t); !reflect.DeepEqual(rest, log) {
			t.Errorf("the log holds %v, want %v", entryIDs(rest), entryIDs(log))
		}
		wantLog(t, w, store.AuditQuery{Limit: 1000}, log)
	}
	prune(start, 100, 0)
	prune(start.Add(time.Millisecond), 100, 3)
	prune(start.Add(4*time.Second), 100, 9) // not those of that time
	prune(start.Add(4*time.Second), 100, 0)
	prune(start.Add(40*time.Second), 10, 10) // the oldest
	prune(start.Add(40*time.Second), 10, 10)
	prune(start.AddDate(-1, 0, 0), 10, 0)
	w.record(t, w.entry()) // it goes on at its end
	log = w.verified(t)
	prune(start.Add(40*time.Second), 1000, 88)
	if id := log[len(log)-1].ID; id != 241 {
		t.Errorf("the last id = %d, want 241", id)
	}
}

func pruneAll(t *testing.T, w *world) {
	log := w.mixedLog(t)
	last := log[len(log)-1].Head()
	w.update(t, func(tx store.Tx) error {
		tx.Record(w.entry()) // is not pruned: it becomes part of the log at the end
		n, err := tx.PruneAudit(t.Context(), start.AddDate(1, 0, 0), 1000)
		if n != len(log) {
			t.Errorf("PruneAudit() = %d, want %d", n, len(log))
		}
		return err
	})
	rest := w.verified(t)
	if len(rest) != 1 || rest[0].ID != last.ID+1 || rest[0].PreviousHash != last.Hash {
		t.Fatalf("the log holds %+v, want one entry behind %+v", rest, last)
	}
	w.update(t, func(tx store.Tx) error {
		_, err := tx.PruneAudit(t.Context(), start.AddDate(1, 0, 0), 1000)
		return err
	})
	extent, err := w.AuditExtent(t.Context())
	if err != nil || extent.Pruned != rest[0].Head() || extent.Last != rest[0].Head() || len(w.verified(t)) != 0 {
		t.Errorf("AuditExtent() = %+v, %v, want nothing behind %+v", extent, err, rest[0].Head())
	}
	e := w.entry()
	e.OccurredAt = start.AddDate(-1, 0, 0) // nor does time go back across what was pruned
	w.record(t, e)
	if log := w.verified(t); len(log) != 1 || log[0].ID != last.ID+2 || log[0].OccurredAt != extent.Last.OccurredAt {
		t.Errorf("the log holds %+v", log)
	}
}

func pruneInVain(t *testing.T, w *world) {
	log := w.mixedLog(t)
	_, err := w.Update(t.Context(), func(tx store.Tx) error {
		if n, err := tx.PruneAudit(t.Context(), start.AddDate(1, 0, 0), 100); n != 100 || err != nil {
			t.Errorf("PruneAudit() = %d, %v", n, err)
		}
		return errMine
	})
	wantIs(t, "Update", err, errMine)
	if rest := w.verified(t); !reflect.DeepEqual(rest, log) {
		t.Errorf("the log holds %v, want %v", entryIDs(rest), entryIDs(log))
	}
}
