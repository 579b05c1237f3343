package httpapi

import (
	"context"
	"math"

	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

// keyList is a list of keys that was asked for.
type keyList struct {
	page
	admin.KeyList
}

func readKeyList(in *input) (keyList, error) {
	list := keyList{page: in.page(keysPath)}
	list.Limit, list.Before = list.limit, list.before
	list.OrganizationID = in.integerParameter("organization_id", 1, math.MaxInt64, 0)
	list.NameContains = in.textParameter("q", key.MaxNameLength)
	list.Enabled = in.boolParameter("enabled")
	list.Scope = in.scopeParameter("scope")
	list.State = in.stateParameter("state")
	return list, nil
}

func (h *keys) list(ctx context.Context, c admin.Caller, list keyList) (answer, error) {
	found, more, err := h.admin.Keys(ctx, c, list.KeyList)
	return listAnswer(list.page, found, more, err, h.wireKey, func(k *key.Key) int64 { return k.ID })
}
