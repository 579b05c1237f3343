package main

import (
	"context"
	"errors"
	"fmt"
)

// measureNode measures checks of keys in the cache on one node of three, and on a server that is alone with an SQLite file. The
// other nodes run on the same machine and do what nodes do that nobody asks.
func measureNode(ctx context.Context, b *bench) (_ []figure, err error) {
	c, err := b.startCluster(ctx, b.size.Few)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := checkAll(ctx, c.nodes[0].verification, b.size.Few); err != nil {
		return nil, err
	}
	alone, err := b.startCached(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, alone.stop()) }()
	ours, floor := contestant{server: c.nodes[0]}, contestant{server: alone}
	if err := b.compete(ctx, mix{what: "one node of three"}, &floor, &ours); err != nil {
		return nil, err
	}
	return ours.figures(fmt.Sprintf("`POST /v1/verify`, one node of %d, beside one alone on SQLite", nodeCount), floor, promise{share: 0.97, tail: 1.3}), nil
}
