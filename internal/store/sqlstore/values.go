package sqlstore

import (
	"database/sql"
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
