package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
)

// measureAuthorize measures what a proxy asks about requests with keys that are all in the cache.
func measureAuthorize(ctx context.Context, b *bench) (_ []figure, err error) {
	var floor, usual, quiet contestant
	defer func() { err = errors.Join(err, stopAll(&floor, &usual, &quiet)) }()
	if usual.server, err = b.startCached(ctx); err != nil {
		return nil, err
	}
	if quiet.server, err = b.startCached(ctx, "--log-checks=false"); err != nil {
		return nil, err
	}
	if floor.server, err = b.startPermission(ctx, usual.verification); err != nil {
		return nil, err
	}
	if err := b.compete(ctx, mix{way: byAuthorize}, &floor, &usual, &quiet); err != nil {
		return nil, err
	}
	const what = "`GET /v1/authorize`, keys in cache"
	return append(usual.figures(what, floor, promise{share: 0.90, tail: 1.3}),
		quiet.figures(what+", without log lines", floor, promise{})...), nil
}

// startPermission starts the floor of GET /v1/authorize, whose answers have as many bytes of headers as those of the server at url.
func (b *bench) startPermission(ctx context.Context, url string) (*server, error) {
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
	return b.startFloor(ctx, "authorize", []byte(strings.Repeat("x", padding(resp.Header))))
}

// padding returns how long the value of one header must be to be as long as all of an answer's own.
func padding(h http.Header) int { return ownHeaders(h) - len(floorHeader) - len(": \r\n") }

// ownHeaders returns how many bytes the headers of an answer have, without those that net/http adds to every one.
func ownHeaders(h http.Header) (bytes int) {
	for name, values := range h {
		if name == "Date" || name == "Content-Length" {
			continue
		}
		for _, value := range values {
			bytes += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return bytes
}
