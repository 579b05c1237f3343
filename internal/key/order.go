package key

import (
	"math"
	"time"
)

// Order is an order that keys are listed in. Databases count on the numbers.
type Order uint8

// The orders. Where keys are alike in what an order goes by, the older one comes first.
const (
	NewestFirst Order = iota
	OldestFirst
	ByName    // without regard to the case of ASCII letters, and otherwise as the bytes of UTF-8 are
	ByExpiry  // what ends next comes first, and what never does at the end
	ByLastUse // what was used last comes first, and what never was at the end

	Orders int = iota
)

// Place is where a key stands in an order. The zero Place is in front of all.
type Place struct {
	ID   int64
	Name string // ByName
	Rank int64  // ByExpiry and ByLastUse: how far the time is from 1970, in microseconds; the lower comes first
}

// never is the rank of a key that has no such time.
const never = math.MaxInt64

// Place returns where the key stands in an order.
func (k *Key) Place(o Order) Place {
	p := Place{ID: k.ID}
	switch o {
	case ByName:
		p.Name = k.Name
	case ByExpiry:
		p.Rank = rank(k.ExpiresAt, 1)
	case ByLastUse:
		p.Rank = rank(k.LastUsedAt, -1)
	}
	return p
}

func rank(t time.Time, sign int64) int64 {
	if t.IsZero() {
		return never
	}
	return sign * t.UnixMicro()
}
