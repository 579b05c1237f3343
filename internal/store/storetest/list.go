package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

var listTests = []test{
	{"the restrictions of a list hold, each and together", listRestrictions},
	{"pages put together are the whole list, without gap or repetition", listPages},
	{"pages in every order are the whole list, without gap or repetition", listOrders},
	{"a page stays in place while keys come and go in front of it", listStaysInPlace},
	{"NameContains is a text, not a pattern", listNames},
	{"a listed key is the whole key", listWholeKeys},
	{"what reads outside of transactions ends with its context", readsCancelled},
	{"a list without a limit is refused", listWithoutLimit},
}

// insertMany stores n keys in one transaction, each as change makes it.
func (w *world) insertMany(t *testing.T, n int, change func(i int, k *key.Key)) []key.Key {
	t.Helper()
	digests := make([]key.Digest, n)
	for i := range digests {
		digests[i] = key.Digest{0xaa, byte(i), byte(i >> 8), w.digest()[31]}
	}
	var keys []key.Key
	w.update(t, func(tx store.Tx) error {
		keys = keys[:0]
		for i, digest := range digests {
			k := w.key()
			change(i, &k)
			id, err := tx.InsertKey(t.Context(), k, digest)
			if err != nil {
				return err
			}
			k.ID = id
			keys = append(keys, k)
		}
		return nil
	})
	return keys
}

// mixed stores keys of every kind.
func (w *world) mixed(t *testing.T) []key.Key {
	return w.insertMany(t, 96, func(i int, k *key.Key) {
		k.Name = fmt.Sprintf("Key %d", i%5)
		k.Enabled = i%3 != 0
		k.Scopes = key.Scopes(1 + i%31)
		if i%7 > 3 {
			k.ExpiresAt = start.Add(time.Duration(i%7-5) * time.Microsecond)
		}
		if i%2 == 1 {
			k.OrganizationID = w.otherOrganization
		}
		if i/2%2 == 1 {
			k.UserID = w.otherUser
		}
	})
}

// matches says in Go what a query asks for.
func matches(q store.KeyQuery, k key.Key) bool {
	return (q.OrganizationID == 0 || k.OrganizationID == q.OrganizationID) &&
		(q.UserID == 0 || k.UserID == q.UserID) &&
		(q.NameContains == "" || k.Name == q.NameContains) &&
		(q.Enabled == nil || k.Enabled == *q.Enabled) &&
		(q.Scopes == 0 || q.Scopes&k.Scopes != 0) &&
		(q.State == 0 || q.State == k.State(q.Now)) &&
		(q.Before == 0 || k.ID < q.Before)
}

func expected(q store.KeyQuery, keys []key.Key) (ids []int64) {
	for _, k := range slices.Backward(keys) {
		if matches(q, k) && len(ids) < q.Limit {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

func ids(keys []key.Key) (ids []int64) {
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func listRestrictions(t *testing.T, w *world) {
	keys := w.mixed(t)
	yes, no := true, false
	for _, organization := range []int64{0, w.organization, 1 << 40} {
		for _, user := range []int64{0, w.otherUser, 1 << 40} {
			for _, name := range []string{"", "Key 3"} {
				for _, enabled := range []*bool{nil, &yes, &no} {
					for _, scopes := range []key.Scopes{0, key.ScopesOf(key.Manage), key.ScopesOf(key.Manage, key.Create)} {
						for _, before := range []int64{0, keys[50].ID} {
							for _, limit := range []int{2, 1000} {
								q := store.KeyQuery{OrganizationID: organization, UserID: user, NameContains: name,
									Enabled: enabled, Scopes: scopes, Before: before, Limit: limit}
								got, err := w.Keys(t.Context(), q)
								if want := expected(q, keys); err != nil || !slices.Equal(ids(got), want) {
									t.Fatalf("Keys(%+v) = %v, %v, want %v", q, ids(got), err, want)
								}
							}
						}
					}
				}
			}
		}
	}
	for state := key.StateActive; state <= key.StateExpired; state++ {
		for _, now := range []time.Time{{}, start.Add(-time.Microsecond), start, start.Add(999 * time.Nanosecond), start.Add(time.Hour)} {
			for _, enabled := range []*bool{nil, &yes, &no} {
				q := store.KeyQuery{OrganizationID: w.organization, State: state, Now: now, Enabled: enabled, Limit: 1000}
				got, err := w.Keys(t.Context(), q)
				if want := expected(q, keys); err != nil || !slices.Equal(ids(got), want) {
					t.Errorf("Keys(%+v) = %v, %v, want %v", q, ids(got), err, want)
				}
			}
		}
	}
	// The same question inside of a transaction.
	w.update(t, func(tx store.Tx) error {
		q := store.KeyQuery{OrganizationID: w.organization, UserID: w.user, Limit: 1000}
		got, err := tx.Keys(t.Context(), q)
		if want := expected(q, keys); !slices.Equal(ids(got), want) {
			t.Errorf("Keys(%+v) in a transaction = %v, want %v", q, ids(got), want)
		}
		return err
	})
}

func listPages(t *testing.T, w *world) {
	keys := w.mixed(t)
	for _, q := range []store.KeyQuery{
		{},
		{OrganizationID: w.organization},
		{UserID: w.user},
		{OrganizationID: w.organization, UserID: w.user},
		{OrganizationID: w.organization, NameContains: "Key 1", Scopes: key.ScopesOf(key.Create)},
	} {
		for _, size := range []int{1, 5, 24, 25} {
			q.Before, q.Limit = 0, len(keys)
			want := expected(q, keys)
			var got []int64
			for q.Limit = size; ; q.Before = got[len(got)-1] {
				page, err := w.Keys(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, ids(page)...)
				if len(page) < size {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("Keys(%+v) in pages of %d = %v, want %v", q, size, got, want)
			}
		}
	}
}

// inOrder says in Go which of two keys comes first.
func inOrder(o key.Order, a, b *key.Key) int {
	late := func(t time.Time) int64 {
		if t.IsZero() {
			return math.MaxInt64
		}
		return t.UnixMicro()
	}
	switch o {
	case key.NewestFirst:
		return cmp.Compare(b.ID, a.ID)
	case key.ByName:
		return cmp.Or(strings.Compare(asciiLower(a.Name), asciiLower(b.Name)), cmp.Compare(a.ID, b.ID))
	case key.ByExpiry:
		return cmp.Or(cmp.Compare(late(a.ExpiresAt), late(b.ExpiresAt)), cmp.Compare(a.ID, b.ID))
	case key.ByLastUse:
		return cmp.Or(b.LastUsedAt.Compare(a.LastUsedAt), cmp.Compare(a.ID, b.ID))
	default:
		return cmp.Compare(a.ID, b.ID)
	}
}

func listOrders(t *testing.T, w *world) {
	names := []string{"b", "B", "a", "É", "é", "_", "Z", "[", "𝕬", "\uffee", "aa", "A b", "ß", "1"}
	keys := w.insertMany(t, 90, func(i int, k *key.Key) {
		k.Name = names[i%len(names)]
		k.Enabled = i%4 > 0
		k.Scopes = key.Scopes(1 + i%31)
		if i%3 > 0 {
			k.ExpiresAt = start.Add(time.Duration(i%5-2) * time.Microsecond)
		}
		if i%4 > 0 {
			k.LastUsedAt = start.Add(time.Duration(i*7%11) * time.Hour)
		}
		if i%6 == 0 {
			k.OrganizationID = w.otherOrganization
		}
		if i%5 == 0 {
			k.UserID = w.otherUser
		}
	})
	for o := range key.Order(key.Orders) {
		for _, q := range []store.KeyQuery{
			{}, {OrganizationID: w.organization}, {UserID: w.user}, {OrganizationID: w.organization, UserID: w.user},
			{OrganizationID: w.organization, Scopes: key.ScopesOf(key.Create), State: key.StateActive, Now: start}, {OrganizationID: w.organization, NameContains: "A"},
		} {
			q.Order = o
			var want []int64
			for _, k := range slices.SortedFunc(slices.Values(keys), func(a, b key.Key) int { return inOrder(o, &a, &b) }) {
				part := q
				part.NameContains = ""
				if matches(part, k) && strings.Contains(asciiLower(k.Name), asciiLower(q.NameContains)) {
					want = append(want, k.ID)
				}
			}
			for _, size := range []int{1, 7, 90, 91} {
				var got []int64
				q.Before, q.After, q.Limit = 0, key.Place{}, size
				for len(got) <= len(want) {
					page, err := w.Keys(t.Context(), q)
					if err != nil {
						t.Fatalf("Keys(%+v): %v", q, err)
					}
					got = append(got, ids(page)...)
					if len(page) < size {
						break
					}
					last := page[len(page)-1]
					q.Before, q.After = last.ID, last.Place(o)
				}
				if !slices.Equal(got, want) {
					t.Errorf("Keys(%+v) in pages of %d = %v, want %v", q, size, got, want)
				}
			}
		}
		// Places that no key has.
		for _, place := range []key.Place{{ID: 1 << 62}, {ID: math.MaxInt64, Name: "\U0010ffff", Rank: math.MaxInt64}, {ID: -1, Name: "zz", Rank: -1},
			{ID: math.MinInt64, Name: "é", Rank: math.MinInt64}, {ID: 1, Name: "nul\x00"}} {
			_, err := w.Keys(t.Context(), store.KeyQuery{OrganizationID: w.organization, Order: o, After: place, Limit: 10})
			if err != nil {
				t.Errorf("order %d after %+v: %v", o, place, err)
			}
		}
	}
}

func listStaysInPlace(t *testing.T, w *world) {
	keys := w.insertMany(t, 20, func(int, *key.Key) {})
	q := store.KeyQuery{OrganizationID: w.organization, Before: keys[10].ID, Limit: 5}
	before, err := w.Keys(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	w.insert(t, w.key())
	w.update(t, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), keys[10].ID) }) // the cursor itself
	w.update(t, func(tx store.Tx) error { return tx.DeleteKey(t.Context(), keys[15].ID) })
	after, err := w.Keys(t.Context(), q)
	if err != nil || !slices.Equal(ids(before), ids(after)) {
		t.Errorf("the page is %v, %v, and was %v", ids(after), err, ids(before))
	}
}

func listNames(t *testing.T, w *world) {
	names := []string{
		"plain", "100% sure", "100 percent", "a_b", "aXb", `back\slash`, `back\\slash`, "ÉCOLE", "école", "Straße", "ΣΊΣΥΦΟΣ",
		"K", "\u212a", "𝕬bc", "it's", `"q"`, "star * ?", "[set]", "null",
	}
	w.insertMany(t, len(names), func(i int, k *key.Key) { k.Name = names[i] })
	for part, want := range map[string][]string{
		"%":                             {"100% sure"},
		"_":                             {"a_b"},
		`\`:                             {`back\slash`, `back\\slash`},
		`\\`:                            {`back\\slash`},
		"PLAIN":                         {"plain"},
		"lai":                           {"plain"},
		"École":                         {"ÉCOLE"}, // É is no ASCII letter, so its case counts
		"É":                             {"ÉCOLE"},
		"éCOLE":                         {"école"},
		"straße":                        {"Straße"},
		"strasse":                       nil,
		"ΊΣ":                            {"ΣΊΣΥΦΟΣ"},
		"k":                             {"K", `back\slash`, `back\\slash`}, // not the sign for kelvin
		"\u212a":                        {"\u212a"},
		"𝕬":                             {"𝕬bc"},
		"'":                             {"it's"},
		`"`:                             {`"q"`},
		"*":                             {"star * ?"},
		"?":                             {"star * ?"},
		"[set]":                         {"[set]"},
		"NULL":                          {"null"},
		"no such":                       nil,
		"%%":                            nil,
		"plain%":                        nil,
		"plain and":                     nil,
		"plain\x00":                     nil,
		"\x00":                          nil,
		`\%`:                            nil,
		strings.Repeat("plain", 20_000): nil,
	} {
		got, err := w.Keys(t.Context(), store.KeyQuery{NameContains: part, Limit: 100})
		if err != nil {
			t.Errorf("NameContains %q: %v", part, err)
			continue
		}
		var found []string
		for _, k := range got {
			found = append(found, k.Name)
		}
		slices.Sort(found)
		slices.Sort(want)
		if !slices.Equal(found, want) {
			t.Errorf("NameContains %q finds %q, want %q", part, found, want)
		}
	}
}

func listWholeKeys(t *testing.T, w *world) {
	k := w.key()
	k.LastUsedAt = start.AddDate(0, 0, 1)
	k, _ = w.insert(t, k)
	for _, q := range []store.KeyQuery{
		{}, {OrganizationID: k.OrganizationID}, {UserID: k.UserID}, {OrganizationID: k.OrganizationID, UserID: k.UserID},
	} {
		q.Limit = 10
		keys, err := w.Keys(t.Context(), q)
		if err != nil || len(keys) != 1 {
			t.Fatalf("Keys(%+v) = %v, %v", q, keys, err)
		}
		sameKey(t, keys[0], k)
	}
}

func readsCancelled(t *testing.T, w *world) {
	w.mixed(t)
	ctx, cancel := context.WithCancel(t.Context())
	calls := w.reads(ctx, t)
	cancel()
	for name, call := range calls {
		err := call()
		wantIs(t, name, err, context.Canceled)
		wantIs(t, name, err, store.ErrUnavailable)
	}
	if _, err := w.Keys(t.Context(), store.KeyQuery{Limit: 10}); err != nil {
		t.Errorf("Keys after a cancelled one = %v", err)
	}
}

func listWithoutLimit(t *testing.T, w *world) {
	for _, limit := range []int{0, -1} {
		if keys, err := w.Keys(t.Context(), store.KeyQuery{Limit: limit}); err == nil {
			t.Errorf("Keys with limit %d = %v, want an error", limit, keys)
		}
	}
}
