package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is an amount of memory in bytes.
type Size int64

// The units that a size can be written in.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// units are the names of the units, the largest first.
var units = []struct {
	name string
	size Size
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

// ParseSize reads a whole number with KiB, MiB or GiB right behind it, or a plain number of bytes.
func ParseSize(text string) (Size, error) {
	number, unit := text, Size(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = n, u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || Size(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%s is no size; write a number with KiB, MiB or GiB, like 256MiB", quote(text))
	}
	return Size(n) * unit, nil
}

// String returns the size in the largest unit that leaves a whole number, as ParseSize reads it.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// atLeast reads a size of at least low.
func atLeast(low Size) func(string) (Size, error) {
	return func(text string) (Size, error) {
		size, err := ParseSize(text)
		if err == nil && size < low {
			return 0, fmt.Errorf("%s is too small; write at least %s", quote(text), low)
		}
		return size, err
	}
}
