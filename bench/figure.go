package main

import (
	"context"
	"slices"
	"time"
)

// figure is one number, measured once in each round, perhaps beside a floor.
type figure struct {
	What  string    `json:"what"`
	Unit  string    `json:"unit"`
	Ours  []float64 `json:"ours"`            // one for each round
	Floor []float64 `json:"floor,omitempty"` // of the same rounds; none: there is no floor
	Bound bound     `json:"promised"`
}

// bound is what is promised of a figure: of its ratio to the floor where there is one.
type bound struct {
	Kind  boundKind `json:"kind,omitempty"`
	Limit float64   `json:"limit,omitempty"`
}

// boundKind says on which side of its limit a figure must be.
type boundKind string

// The kinds.
const (
	noBound boundKind = "" // given for comparison; nothing is promised
	atLeast boundKind = "at least"
	atMost  boundKind = "at most"
	under   boundKind = "under"
)

// ratios returns the ratio to the floor in each round.
func (f *figure) ratios() []float64 {
	r := make([]float64, len(f.Floor))
	for i := range r {
		r[i] = f.Ours[i] / f.Floor[i]
	}
	return r
}

// value returns what the promise is about: the median of the ratios, or of the figure itself where it has no floor.
func (f *figure) value() float64 {
	if len(f.Floor) > 0 {
		return median(f.ratios())
	}
	return median(f.Ours)
}

// kept reports whether the promise is kept.
func (f *figure) kept() bool {
	v := f.value()
	switch f.Bound.Kind {
	case atLeast:
		return v >= f.Bound.Limit
	case atMost:
		return v <= f.Bound.Limit
	case under:
		return v < f.Bound.Limit
	default:
		return true
	}
}

// median returns the middle of the values, or the mean of the two in the middle. There must be one.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// inTurn runs everything once in each round, A B C A B C …, so that a machine that drifts does the same to all.
func inTurn(ctx context.Context, rounds int, runs ...func() error) error {
	for range rounds {
		for _, run := range runs {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := run(); err != nil {
				return err
			}
		}
	}
	return nil
}

// piece is how long a turn is, at most.
const piece = time.Second

// turn does for as long as it is told what is measured.
type turn func(time.Duration) error

// takeTurns lets everything run for d, a piece at a time, there and back again, A B C C B A A B C …: a machine whose speed changes
// from one second to the next, as one does that others share, does the same to all, and nothing always comes after the same.
func takeTurns(ctx context.Context, d time.Duration, turns ...turn) error {
	order := slices.Clone(turns)
	for left := d; left > 0; left -= piece {
		for _, run := range order {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := run(min(left, piece)); err != nil {
				return err
			}
		}
		slices.Reverse(order)
	}
	return nil
}

// tally is what was done in several turns.
type tally struct {
	done int64
	took time.Duration
}

func (t *tally) add(done int64, took time.Duration) {
	t.done += done
	t.took += took
}

func (t *tally) perSecond() float64 { return float64(t.done) / t.took.Seconds() }
