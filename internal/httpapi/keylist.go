package httpapi

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/internal/admin"
	"github.com/apikeyd/apikeyd/internal/key"
)

const (
	defaultPage = 100 // keys
	maxPage     = 1000
)

// keyList is a list that was asked for, and the query that asked: the address of the next page repeats it.
type keyList struct {
	admin.KeyList
	query url.Values
}

func readKeyList(in *input) (keyList, error) {
	list := keyList{query: in.query}
	list.Limit = int(in.integerParameter("limit", 1, maxPage, defaultPage))
	list.Before = in.cursorParameter("cursor")
	list.OrganizationID = in.integerParameter("organization_id", 1, math.MaxInt64, 0)
	list.NameContains = in.searchParameter("q")
	list.Enabled = in.boolParameter("enabled")
	list.Scope = in.scopeParameter("scope")
	return list, nil
}

func (in *input) cursorParameter(name string) int64 {
	text, ok := in.parameter(name)
	if !ok {
		return 0
	}
	before, ok := decodeCursor(text)
	if !ok {
		in.faults.malform("/"+name, "must be a cursor as it stands in the Link header of the page before")
	}
	return before
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
	page, more, err := h.admin.Keys(ctx, c, list.KeyList)
	if err != nil {
		return answer{}, err
	}
	wire := make([]api.Key, len(page))
	for i := range page {
		wire[i] = wireKey(&page[i])
	}
	a := answer{status: http.StatusOK, body: wire}
	if more {
		a.next = list.address(page[len(page)-1].ID)
	}
	return a, nil
}

// address returns the address of the page behind the key last. It is an absolute path, not a URL: the server does not
// know by which name, or through which proxy, it was reached, and RFC 8288 has the client resolve it.
func (l keyList) address(last int64) string {
	query := maps.Clone(l.query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(l.Limit))
	query.Set("cursor", encodeCursor(last))
	return keysPath + "?" + query.Encode()
}
