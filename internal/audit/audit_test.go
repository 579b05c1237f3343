package audit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 22, 18, 54, 3, int(120*time.Millisecond), time.UTC)

// full returns an entry with everything set.
func full(n int) Entry {
	return Entry{
		OccurredAt: start.Add(time.Duration(n) * time.Second), Actor: Actor{UserID: 1, KeyID: 2, SessionID: 3}, Action: "key.update",
		Target: Target{Type: Key, ID: 4}, OrganizationID: 5, IP: "192.0.2.7", RequestID: fmt.Sprint("request ", n), Outcome: Success,
		Code: "forbidden", Before: []byte(`{"enabled":true}`), After: []byte(`{"enabled":false}`),
	}
}

// chain returns a log of n entries, and what the store says of it.
func chain(n int) ([]Entry, Extent) {
	var x Extent
	var log []Entry
	for i := range n {
		e := full(i).Chain(x.Last)
		log, x.Last = append(log, e), e.Head()
	}
	return log, x
}

// verify walks through a log.
func verify(log []Entry, x Extent) error {
	reached := x.Pruned
	for i := range log {
		var err error
		if reached, err = Follow(reached, &log[i]); err != nil {
			return err
		}
	}
	return x.End(reached)
}

func wantBroken(t *testing.T, what string, err error, id int64, reason string) {
	t.Helper()
	broken, ok := errors.AsType[*BrokenError](err)
	if !ok || broken.ID != id || !strings.Contains(broken.Reason, reason) {
		t.Errorf("%s: %v, want that entry %d %s", what, err, id, reason)
		return
	}
	if want := fmt.Sprintf("audit entry %d ", id); !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%s: error %q, want one that begins with %q", what, err, want)
	}
}

func TestChain(t *testing.T) {
	for _, n := range []int{0, 1, 2, 10} {
		log, x := chain(n)
		if err := verify(log, x); err != nil {
			t.Errorf("a log of %d entries: %v", n, err)
		}
		for i, e := range log {
			if e.ID != int64(i+1) || e.OccurredAt != full(i).OccurredAt {
				t.Errorf("entry %d of %d has the id %d and the time %v", i, n, e.ID, e.OccurredAt)
			}
		}
	}
	log, x := chain(10)
	x.Pruned = log[3].Head()
	if err := verify(log[4:], x); err != nil {
		t.Errorf("a log that was pruned: %v", err)
	}
	x.Pruned = x.Last
	if err := verify(nil, x); err != nil {
		t.Errorf("a log that was pruned as a whole: %v", err)
	}
}

// TestHash holds the hash to what another program computed by the comment of computed: a log that was written must stay good.
func TestHash(t *testing.T) {
	log, _ := chain(2)
	if got, want := log[1].Hash.String(), "4b27643246119a926ab071f6798598b03255d2b47e64b2405641407f2b326cbb"; got != want {
		t.Errorf("hash = %s, want %s: entries are written down in another way, so that format must change", got, want)
	}
	bare := Entry{OccurredAt: start}.Chain(Head{})
	if got, want := bare.Hash.String(), "1055b3533ab8c427186c76a10bd6f8a4975fe87977153be0578d5691f51c5000"; got != want {
		t.Errorf("hash of an entry with nothing in it = %s, want %s", got, want)
	}
}

func TestChainTimes(t *testing.T) {
	head := Head{ID: 7, OccurredAt: start}
	for _, c := range []struct{ given, want time.Time }{
		{start, start},
		{start.Add(-time.Nanosecond), start},
		{start.AddDate(-1, 0, 0), start},
		{time.Time{}, start},
		{start.Add(999 * time.Microsecond), start},
		{start.Add(time.Millisecond), start.Add(time.Millisecond)},
		{start.Add(time.Hour).In(time.FixedZone("", 3600)), start.Add(time.Hour)},
	} {
		e := full(0)
		e.OccurredAt = c.given
		if e = e.Chain(head); e.OccurredAt != c.want || e.ID != 8 {
			t.Errorf("time %v becomes %v of entry %d, want %v of 8", c.given, e.OccurredAt, e.ID, c.want)
		}
		if _, err := Follow(head, &e); err != nil {
			t.Errorf("time %v: %v", c.given, err)
		}
	}
	// The time in the chain is none that a clock could not show, whatever it carries beside it.
	e := Entry{OccurredAt: time.Now()}.Chain(Head{})
	if e.OccurredAt != time.UnixMilli(e.OccurredAt.UnixMilli()).UTC() {
		t.Errorf("time = %#v, want nothing below a millisecond, and UTC", e.OccurredAt)
	}
}

// alter changes a value, whatever it is. A slice and an array are changed in their last element.
func alter(t *testing.T, v reflect.Value) {
	t.Helper()
	switch at, isTime := v.Interface().(time.Time); {
	case isTime:
		v.Set(reflect.ValueOf(at.Add(time.Millisecond)))
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanUint():
		v.SetUint(v.Uint() + 1)
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "x")
	case v.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf(slices.Clone(v.Bytes())))
		fallthrough
	case v.Kind() == reflect.Array:
		alter(t, v.Index(v.Len()-1))
	default:
		t.Fatalf("a %s cannot be altered here", v.Type())
	}
}

// fields calls fn for each field of a struct, and those of structs in it, by their names.
func fields(v reflect.Value, name string, fn func(name string, field reflect.Value)) {
	for i := range v.NumField() {
		field, of := v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, ".")
		if _, isTime := field.Interface().(time.Time); field.Kind() == reflect.Struct && !isTime {
			fields(field, of, fn)
		} else {
			fn(of, field)
		}
	}
}

// TestAltered alters each field of an entry, of those also that are yet to come.
func TestAltered(t *testing.T) {
	altered := 0
	fields(reflect.ValueOf(new(Entry)).Elem(), "", func(name string, _ reflect.Value) {
		for i := range 5 {
			log, x := chain(5)
			fields(reflect.ValueOf(&log[i]).Elem(), "", func(n string, field reflect.Value) {
				if n == name {
					alter(t, field)
					altered++
				}
			})
			err := verify(log, x)
			switch want := int64(i + 1); name {
			case "ID":
				wantBroken(t, name, err, want, "was removed") // there is one with a higher id in its place
			case "PreviousHash":
				wantBroken(t, name, err, want, "does not follow")
			default:
				wantBroken(t, name, err, want, "was altered")
			}
		}
	})
	if altered < 5*17 {
		t.Errorf("%d fields were altered", altered)
	}
}

// TestTakenAsAnother moves a text from one field to the next: what is hashed must say where each begins and ends.
func TestTakenAsAnother(t *testing.T) {
	seen := map[Hash]Entry{}
	for _, e := range []Entry{
		{}, {Action: "a"}, {Target: Target{Type: "a"}}, {IP: "a"}, {RequestID: "a"}, {Code: "a"}, {Before: []byte("a")}, {After: []byte("a")},
		{IP: "ab"}, {IP: "a", RequestID: "b"}, {RequestID: "ab"}, {Before: []byte("ab")}, {Before: []byte("a"), After: []byte("b")},
		{Actor: Actor{UserID: 1}}, {Actor: Actor{KeyID: 1}}, {Actor: Actor{SessionID: 1}}, {Target: Target{ID: 1}}, {OrganizationID: 1},
		{Outcome: 1}, {OrganizationID: -1}, {OrganizationID: 256},
	} {
		e.OccurredAt = start
		e = e.Chain(Head{})
		if other, twice := seen[e.Hash]; twice {
			t.Errorf("%+v and %+v have one hash", e, other)
		}
		seen[e.Hash] = e
	}
	// What is not told apart when it is read back must not be told apart here.
	if none, empty := (Entry{}).Chain(Head{}), (Entry{Before: []byte{}, After: []byte{}}).Chain(Head{}); none.Hash != empty.Hash {
		t.Error("an empty object and none have different hashes")
	}
}

func TestRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		from, to int
		id       int64
	}{
		"at the start": {0, 1, 1}, "several at the start": {0, 3, 1}, "in the middle": {2, 3, 3}, "several in the middle": {2, 4, 3},
		"at the end": {4, 5, 5}, "several at the end": {1, 5, 2}, "all": {0, 5, 1},
	} {
		log, x := chain(5)
		wantBroken(t, name, verify(slices.Delete(log, c.from, c.to), x), c.id, "was removed")
	}
	// Behind what was pruned, too.
	log, x := chain(8)
	x.Pruned = log[2].Head()
	wantBroken(t, "at the start of a pruned log", verify(log[4:], x), 4, "was removed")
	wantBroken(t, "the whole pruned log", verify(nil, x), 4, "was removed")
}

func TestRemovedAndNumberedAnew(t *testing.T) {
	log, x := chain(5)
	log = slices.Delete(log, 2, 3)
	for i := range log {
		log[i].ID = int64(i + 1)
	}
	wantBroken(t, "ids closed up", verify(log, x), 3, "does not follow")
	// Whoever computes all hashes anew is found out by the end that the store knows.
	var head Head
	for i := range log {
		log[i] = log[i].Chain(head)
		head = log[i].Head()
	}
	wantBroken(t, "computed anew", verify(log, x), 5, "was removed")
	log = append(log, full(9).Chain(head))
	wantBroken(t, "computed anew and filled up", verify(log, x), 5, "was altered")
}

func TestInserted(t *testing.T) {
	for _, c := range []struct {
		at     int
		id     int64
		reason string
	}{{0, 1, "was inserted"}, {2, 3, "was inserted"}, {4, 5, "was inserted"}, {5, 6, "was inserted"}} {
		log, x := chain(5)
		var previous Head
		if c.at > 0 {
			previous = log[c.at-1].Head()
		}
		forged := full(99).Chain(previous)
		log = slices.Insert(log, c.at, forged)
		// Where others follow, the first that carries an id again shows it: which of the two was there before cannot be told.
		wantBroken(t, fmt.Sprint("inserted at ", c.at), verify(log, x), c.id, c.reason)
	}
	log, x := chain(5)
	x.Pruned = log[2].Head()
	wantBroken(t, "what was pruned is there", verify(log, x), 1, "was inserted")
}

func TestSwapped(t *testing.T) {
	log, x := chain(5)
	log[1], log[3] = log[3], log[1]
	wantBroken(t, "swapped", verify(log, x), 2, "was removed")
	log[1].ID, log[3].ID = log[3].ID, log[1].ID
	wantBroken(t, "swapped with their ids", verify(log, x), 2, "does not follow")
	log[1].PreviousHash, log[3].PreviousHash = log[3].PreviousHash, log[1].PreviousHash
	wantBroken(t, "swapped with their places in the chain", verify(log, x), 2, "was altered")
	log[1].Hash, log[3].Hash = log[3].Hash, log[1].Hash
	wantBroken(t, "swapped in all but what they say", verify(log, x), 2, "was altered")
}

func TestEndAltered(t *testing.T) {
	log, x := chain(5)
	x.Last.Hash[31] ^= 1
	wantBroken(t, "the end", verify(log, x), 5, "was altered")
	log, x = chain(5)
	x.Pruned = Head{ID: 2}
	wantBroken(t, "the beginning", verify(log[2:], x), 3, "does not follow")
}

func TestOutcomes(t *testing.T) {
	for o, name := range map[Outcome]string{Success: "success", Refused: "refused", 0: "", 3: "", 255: ""} {
		if got := o.String(); got != name {
			t.Errorf("Outcome(%d) is called %q, want %q", o, got, name)
		}
		if got, ok := ParseOutcome(name); ok != (name != "") || ok && got != o {
			t.Errorf("ParseOutcome(%q) = %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"Success", "refuse", " refused"} {
		if o, ok := ParseOutcome(name); ok {
			t.Errorf("ParseOutcome(%q) = %d", name, o)
		}
	}
	if Success != 1 || Refused != 2 {
		t.Error("the values are stored and must not change")
	}
}
