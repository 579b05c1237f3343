package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
)

// measureAuthorize measures what a proxy asks about requests with keys that are all in the cache, beside a handler that gives the same
// headers, which is what is promised of, and one that gives a single header of as many bytes.
func measureAuthorize(ctx context.Context, b *bench) (_ []figure, err error) {
	var floor, single, ours contestant
	defer func() { err = errors.Join(err, stopAll(&floor, &single, &ours)) }()
	if ours.server, err = b.startCached(ctx); err != nil {
		return nil, err
	}
	headers, err := permission(ctx, ours.verification)
	if err != nil {
		return nil, err
	}
	if floor.server, err = b.startAllowing(ctx, headers); err != nil {
		return nil, err
	}
	if single.server, err = b.startAllowing(ctx, inOne(headers)); err != nil {
		return nil, err
	}
	if err := b.compete(ctx, mix{way: byAuthorize}, &floor, &single, &ours); err != nil {
		return nil, err
	}
	const what = "`GET /v1/authorize`, keys in cache"
	return append(ours.figures(what, floor, promise{share: 0.90, tail: 1.3}),
		ours.figures(what+", beside a single header", single, promise{})...), nil
}

// permission returns the headers with which a server lets a request through, without those that net/http adds to every answer.
func permission(ctx context.Context, url string) (http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/authorize", nil)
	if err != nil {
		return nil, err
	}
	text := keyfile.Token(1)
	r.Header.Set("Authorization", "Bearer "+string(text[:]))
	r.Header.Set("X-Forwarded-Method", http.MethodGet)
	r.Header.Set("X-Forwarded-Uri", requested)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("a proxy is told %s", resp.Status)
	}
	resp.Header.Del("Date")
	resp.Header.Del("Content-Length")
	return resp.Header, nil
}

// startAllowing starts a floor that allows every request, with these headers.
func (b *bench) startAllowing(ctx context.Context, headers http.Header) (*server, error) {
	answer, err := json.Marshal(headers)
	if err != nil {
		return nil, err
	}
	return b.startFloor(ctx, "authorize", answer)
}

// inOne returns a single header of as many bytes as these.
func inOne(headers http.Header) http.Header {
	const name = "X-Floor"
	return http.Header{name: {strings.Repeat("x", lengthOf(headers)-lengthOf(http.Header{name: {""}}))}}
}

// lengthOf returns how many bytes headers have in an answer.
func lengthOf(headers http.Header) (bytes int) {
	for name, values := range headers {
		for _, value := range values {
			bytes += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return bytes
}
