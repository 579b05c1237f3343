package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
	"github.com/apikeyd/apikeyd/client"
)

// pageSize is how many keys are on a page.
const pageSize = 100

// measureList measures pages of a large organization's keys, and the first page of a small one's on a server that has
// little else. The caller is the owner of the organization, and so of its keys.
func measureList(ctx context.Context, b *bench) (_ []figure, err error) {
	largePath, err := b.largeFile(ctx)
	if err != nil {
		return nil, err
	}
	smallPath, err := b.smallFile(ctx)
	if err != nil {
		return nil, err
	}
	large, err := b.startServer(ctx, largePath)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, large.stop()) }()
	small, err := b.startServer(ctx, smallPath)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, small.stop()) }()

	deep := b.size.page()
	b.progress("walking to page %s", count(int64(deep)))
	cursor, err := cursorOf(ctx, large, deep)
	if err != nil {
		return nil, err
	}
	first := figure{Unit: "ms", Bound: bound{atMost, 1.5}, What: fmt.Sprintf("`GET /v1/api-keys?limit=100`, first page of %s keys, beside that of %s",
		count(b.size.Keys/10), count(b.size.Few/10))}
	far := figure{Unit: "ms", Bound: bound{atMost, 1.5}, What: fmt.Sprintf("the same, page %s", count(int64(deep)))}

	// One client for each: idle connections of the others are not in the way.
	times := func(into *[]float64, s *server, cursor string) func() error {
		c := &http.Client{Transport: new(http.Transport)}
		return func() error {
			ms, err := pageTime(ctx, c, s, cursor, b.size.Pages)
			*into = append(*into, ms)
			return err
		}
	}
	var floor []float64
	runs := []func() error{times(&floor, small, ""), times(&first.Ours, large, ""), times(&far.Ours, large, cursor)}
	if err := inTurn(ctx, 1, runs...); err != nil { // nobody's first run counts
		return nil, err
	}
	floor, first.Ours, far.Ours = nil, nil, nil
	if err := inTurn(ctx, b.size.Rounds, runs...); err != nil {
		return nil, err
	}
	first.Floor, far.Floor = floor, floor
	return []figure{first, far}, nil
}

// caller returns the token of a key of the large organization.
func caller() string {
	text := keyfile.Token(keyfile.OfLarge(1))
	return string(text[:])
}

// cursorOf walks to a page, counted from 1, and returns its cursor.
func cursorOf(ctx context.Context, s *server, page int) (cursor string, err error) {
	c, err := client.New(s.management, client.WithAPIKey(caller()))
	if err != nil {
		return "", err
	}
	defer c.CloseIdleConnections()
	const stride = 1000 // the longest page there is
	for left := (page - 1) * pageSize; left > 0; {
		list, err := c.ListKeys(ctx, client.ListOptions{Limit: min(stride, left), Cursor: cursor})
		if err != nil {
			return "", err
		}
		if list.Next == "" {
			return "", fmt.Errorf("the list ended %d keys before page %d", left, page)
		}
		left -= len(list.Items)
		cursor = list.Next
	}
	return cursor, nil
}

// pageTime asks for a page several times and returns the median of the times in milliseconds.
func pageTime(ctx context.Context, c *http.Client, s *server, cursor string, times int) (float64, error) {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	took := make([]float64, times)
	for i := range took {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.management+"/v1/api-keys?"+query.Encode(), nil)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Authorization", "Bearer "+caller())
		began := time.Now()
		body, err := do(c, r)
		if err != nil {
			return 0, err
		}
		took[i] = time.Since(began).Seconds() * 1e3
		if n := bytes.Count(body, []byte(`"key_id":`)); n != pageSize {
			return 0, fmt.Errorf("a page has %d keys, want %d", n, pageSize)
		}
	}
	return median(took), nil
}
