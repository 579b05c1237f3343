package client

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	Next  string // the cursor of the next page; "" on the last one
}

// PageOptions says which page of a list is wanted. Its zero value is the first one.
type PageOptions struct {
	Limit  int    // items on a page, 1 to 1000; 0: the server's default, 100
	Cursor string // where to begin: Page.Next of the page before; "": with the newest
}

// listing is a list of the API that comes in pages, newest first.
type listing[T any] struct {
	path  []string
	query url.Values
	check func(T) error // says what is wrong with an item that makes no sense
}

// page fetches the page that the query asks for.
func (l listing[T]) page(ctx context.Context, c *conn) (Page[T], error) {
	r := request{method: http.MethodGet, path: l.path, query: l.query, success: http.StatusOK, idempotent: true}
	items, header, err := send(ctx, c, r, func(items []T) error {
		if items == nil {
			return errors.New("it is not an array")
		}
		for _, item := range items {
			if err := l.check(item); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Page[T]{}, err
	}
	next, err := nextCursor(header)
	if err == nil && next != "" && next == l.query.Get("cursor") {
		err = errors.New("its link to the next page leads back to itself")
	}
	if err != nil {
		return Page[T]{}, c.foreign(r, answer{status: http.StatusOK, mediaType: "application/json"}, err.Error())
	}
	return Page[T]{items, next}, nil
}

// all goes from the page that the query asks for to the last, and fetches each when it is needed. An error comes with
// a zero item and ends the sequence. Every range over it starts anew.
func (l listing[T]) all(ctx context.Context, c *conn) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for l := l; ; {
			page, err := l.page(ctx, c)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			l.query = maps.Clone(l.query)
			l.query.Set("cursor", page.Next)
		}
	}
}

// parameters are those of a query. What is zero is left out.
type parameters url.Values

func (p parameters) text(name, value string) {
	if value != "" {
		url.Values(p).Set(name, value)
	}
}

func (p parameters) number(name string, value int64) {
	if value != 0 {
		url.Values(p).Set(name, strconv.FormatInt(value, 10))
	}
}

func (p parameters) moment(name string, value time.Time) {
	if !value.IsZero() {
		url.Values(p).Set(name, value.UTC().Format(time.RFC3339Nano))
	}
}

func (p parameters) page(o PageOptions) url.Values {
	p.number("limit", int64(o.Limit))
	p.text("cursor", o.Cursor)
	return url.Values(p)
}
