package sqlstore

import (
	"database/sql"
	"fmt"
	"math"
	"time"
)

// micros returns t as it is stored, in microseconds since 1970, and NULL for a zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// moment is a nullable time as it is stored.
type moment struct{ sql.NullInt64 }

// Null returns what a database that does not know the type can put the number in.
func (m *moment) Null() *sql.NullInt64 { return &m.NullInt64 }

// Time returns the time in UTC, and a zero time for NULL.
func (m moment) Time() time.Time {
	if !m.Valid {
		return time.Time{}
	}
	return time.UnixMicro(m.Int64).UTC()
}

// text returns s, and NULL for "".
func text[T string | []byte](s T) any {
	if len(s) == 0 {
		return nil
	}
	return string(s)
}

// number returns n, and NULL for 0.
func number(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// before returns the id that those of a page stay below.
func before(id int64) int64 {
	if id == 0 {
		return math.MaxInt64
	}
	return id
}

// hash is a SHA-256 as it is stored.
type hash [32]byte

// Scan reads a hash. One of another length is not taken for what it is not.
func (h *hash) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(h) {
		return fmt.Errorf("a hash has %d bytes, not %d", len(b), len(h))
	}
	copy(h[:], b)
	return nil
}
