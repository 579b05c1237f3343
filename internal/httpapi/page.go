package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

const (
	defaultPage = 100 // rows
	maxPage     = 1000
)

// page is the part of a list that was asked for, and what asked: the address of the next page repeats it.
type page struct {
	path   string
	query  url.Values
	limit  int
	before int64 // the id of the last row on the page before; 0: from the newest
}

// page reads which part of the list at a path is wanted.
func (in *input) page(path string) page {
	return page{path: path, query: in.query, limit: int(in.integerParameter("limit", 1, maxPage, defaultPage)),
		before: in.cursorParameter("cursor")}
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

// listAnswer makes the answer to a list out of what a use case returned.
func listAnswer[T, W any](p page, found []T, more bool, err error, wire func(*T) W, id func(*T) int64) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	rows := make([]W, len(found))
	for i := range found {
		rows[i] = wire(&found[i])
	}
	a := answer{status: http.StatusOK, body: rows}
	if more {
		a.next = p.next(id(&found[len(found)-1]))
	}
	return a, nil
}

// next returns the address of the page behind the row last. It is an absolute path, not a URL: the server does not know by
// which name, or through which proxy, it was reached, and RFC 8288 has the client resolve it.
func (p page) next(last int64) string {
	query := maps.Clone(p.query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(p.limit))
	query.Set("cursor", encodeCursor(last))
	return p.path + "?" + query.Encode()
}
