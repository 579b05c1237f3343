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
// 10 are a number, of about the order in which that run's requests came. Ids are not secret, and the next one can be
// guessed. The zero RequestID is none.
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
func (ids *RequestIDs) Next() RequestID { return ids.Reserved(ids.Reserve(1)) }

// Reserve sets apart the numbers of n ids that follow one another, and returns the first. All processors count together,
// and each waits for the others to do so: who needs many ids asks once.
func (ids *RequestIDs) Reserve(n uint64) (first uint64) { return ids.count.Add(n) - n + 1 }

// Reserved returns the id with a number that was reserved. Call it once for each. It allocates nothing.
func (ids *RequestIDs) Reserved(n uint64) RequestID {
	var id RequestID
	copy(id[:], ids.process[:])
	for i := len(id) - 1; i >= processDigits; i-- {
		id[i] = digits[n%32]
		n /= 32
	}
	return id
}
