package httpapi

import (
	"context"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

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
	list.NameContains = in.searchParameter("q")
	list.Enabled = in.boolParameter("enabled")
	list.Scope = in.scopeParameter("scope")
	return list, nil
}

// searchParameter reads a part of a name, which cannot be longer than a name.
func (in *input) searchParameter(name string) string {
	text, ok := in.parameter(name)
	if !ok {
		return ""
	}
	switch n := utf8.RuneCountInString(text); {
	case n < 1 || n > key.MaxNameLength:
		in.faults.invalid("/"+name, fmt.Sprintf("must have 1 to %d characters", key.MaxNameLength))
	case !utf8.ValidString(text):
		in.faults.invalid("/"+name, "must be valid UTF-8")
	case strings.ContainsRune(text, 0):
		in.faults.invalid("/"+name, "must not hold the character U+0000")
	}
	return text
}

func (h *keys) list(ctx context.Context, c admin.Caller, list keyList) (answer, error) {
	found, more, err := h.admin.Keys(ctx, c, list.KeyList)
	return listAnswer(list.page, found, more, err, wireKey, func(k *key.Key) int64 { return k.ID })
}
