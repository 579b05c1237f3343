package telemetry

import (
	"crypto/rand"
	"encoding/base32"
	"sync/atomic"
)

const (
	processDigits = 13 // base32 digits of 65 random bits
	counterDigits = 10 // base32 digits of a 50-bit count: at 100,000 requests a second it lasts for 350 years
	digits        = "abcdefghijklmnopqrstuvwxyz234567"
)

// RequestID names a request in its answer, in the log and in the audit log: 23 characters of a-z and 2-7. The first 13
// are random and stand for one run of one process, so that no two nodes and no two runs give the same id; the last
// 10 count that run's requests. Ids are not secret, and the next one can be guessed. The zero RequestID is none.
type RequestID [processDigits + counterDigits]byte

// String returns the id as text; "" for the zero RequestID.
func (id RequestID) String() string {
	if id == (RequestID{}) {
		return ""
	}
	return string(id[:])
}

// MarshalText returns the same.
func (id RequestID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// RequestIDs makes request ids. Make one for a process; it is safe for concurrent use.
type RequestIDs struct {
	process [processDigits]byte
	count   atomic.Uint64
}

// NewRequestIDs returns a RequestIDs with a random beginning of its own.
func NewRequestIDs() *RequestIDs {
	var random [10]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	text := base32.NewEncoding(digits).EncodeToString(random[:])
	ids := new(RequestIDs)
	copy(ids.process[:], text)
	return ids
}

// Next returns an id that neither this nor any other RequestIDs has returned before. It allocates nothing.
func (ids *RequestIDs) Next() RequestID {
	var id RequestID
	copy(id[:], ids.process[:])
	n := ids.count.Add(1)
	for i := len(id) - 1; i >= processDigits; i-- {
		id[i] = digits[n%32]
		n /= 32
	}
	return id
}
