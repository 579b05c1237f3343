package sqlite

import (
	"net/netip"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/key"
	"github.com/apikeyd/apikeyd/internal/store"
)

// How restrictions are kept is part of the schema: other versions of the program read them.
func TestRestrictionsAsTheyAreKept(t *testing.T) {
	path := newPath(t)
	s := openFilled(t, Options{Path: path, Migrate: true}, 1)
	k, err := s.Key(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	db := plain(t, path)
	for want, r := range map[string]key.Restrictions{
		"": {},
		`{"limits":[{"name":"default","requests":100,"window_seconds":60}],"quota":{"requests":7,"period":"month"},"allowed_cidrs":["203.0.113.0/24"]}`: {
			Limits: []key.Limit{{Name: "default", Requests: 100, Window: time.Minute}}, Quota: key.Quota{Requests: 7, Period: key.Month},
			AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}},
		`{"quota":{"requests":7}}`: {Quota: key.Quota{Requests: 7}},
	} {
		k.Restrictions = r
		if _, err := s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateKey(t.Context(), k) }); err != nil {
			t.Fatal(err)
		}
		var kept string
		if err := db.QueryRow(`SELECT coalesce(restrictions, '') FROM api_keys WHERE key_id = 1`).Scan(&kept); err != nil || kept != want {
			t.Errorf("%+v is kept as %s, %v, want %s", r, kept, err, want)
		}
	}
	// A key must not be less restricted than somebody wanted it because that cannot be read.
	for _, bad := range []string{`x`, `[]`, `{"limits":{}}`, `{"allowed_cidrs":["x"]}`, `{"quota":{"requests":1,"period":"year"}}`} {
		execute(t, db, `UPDATE api_keys SET restrictions = '`+bad+`' WHERE key_id = 1`)
		if r, err := s.RecordByDigest(t.Context(), digestOf(0)); err == nil {
			t.Errorf("with %s a check finds %+v", bad, r)
		}
		if k, err := s.Key(t.Context(), 1); err == nil {
			t.Errorf("with %s there is %+v", bad, k)
		}
	}
}
