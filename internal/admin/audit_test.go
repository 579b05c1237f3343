package admin_test

import (
	"testing"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/audit"
	"github.com/apikeyd/apikeyd/internal/key"
)

// That the organization of a new key is not seen is bad input, and a refusal.
func TestAKeyInAnOrganizationThatIsNotSeenIsRecorded(t *testing.T) {
	h := newHouse(t)
	for _, organization := range []int64{h.home, 999} {
		draft := key.Draft{Name: "n", Scopes: read, OrganizationID: organization}
		for what, try := range map[string]func(admin.Caller) error{
			"create": func(c admin.Caller) error { _, _, err := h.CreateKey(t.Context(), c, draft); return err },
			"check":  func(c admin.Caller) error { _, err := h.CheckDraft(t.Context(), c, draft); return err },
		} {
			stranger, narrow := h.bearer("stranger"), h.withKey("stranger", h.other, read)
			entries := h.logged(func() {
				_ = try(stranger)
				expect(t, what, try(narrow), key.InsufficientScope)
			})
			expectActions(t, entries, "refused: key.create", "refused: key.create")
			if e := entries[0]; e.Code != string(key.NotFound) || e.OrganizationID != organization || e.Target != (audit.Target{Type: audit.Key}) {
				t.Errorf("%s in %d: %+v", what, organization, e)
			}
		}
	}
}
