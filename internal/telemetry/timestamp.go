package telemetry

import (
	"sync/atomic"
	"time"
)

// secondText remembers the second of the last line as text, because the next line is most often of the same second
// and the calendar is the larger part of what it costs to write a time. The zero value is ready for use, also
// by several goroutines.
type secondText struct {
	last atomic.Pointer[writtenSecond]
}

type writtenSecond struct {
	unix int64
	text []byte // "2006-01-02T15:04:05"
}

// appendSecond writes t in UTC, without what is finer than a second.
func (s *secondText) appendSecond(b []byte, t time.Time) []byte {
	unix := t.Unix()
	last := s.last.Load()
	if last == nil || last.unix != unix {
		last = &writtenSecond{unix, t.UTC().AppendFormat(nil, "2006-01-02T15:04:05")}
		s.last.Store(last)
	}
	return append(b, last.text...)
}

// appendNanos writes t as time.RFC3339Nano does, in UTC: to the nanosecond, without zeros at the end.
func (s *secondText) appendNanos(b []byte, t time.Time) []byte {
	b = s.appendSecond(b, t)
	if n := t.Nanosecond(); n != 0 {
		b = appendFraction(b, n, 9)
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, 'Z')
}

// appendMillis writes t with three digits behind the second, in UTC.
func (s *secondText) appendMillis(b []byte, t time.Time) []byte {
	b = s.appendSecond(b, t)
	b = appendFraction(b, t.Nanosecond()/1e6, 3)
	return append(b, 'Z')
}

// appendFraction writes a point and n in that many digits, at most 9.
func appendFraction(b []byte, n, digits int) []byte {
	text := [10]byte{'.'}
	rest := uint32(n) // n is below 1e9, and 32 bits are quicker to divide
	for i := digits; i > 0; i-- {
		text[i] = byte('0' + rest%10)
		rest /= 10
	}
	return append(b, text[:digits+1]...)
}
