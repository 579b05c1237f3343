// Package audit is the audit log's entry, and the chain that entries form.
//
// Each entry carries the hash of the one before it, and ids have no gaps: whoever alters, removes or inserts an entry
// breaks the chain at that place. The chain shows that something was done to the log, and where first; it cannot show
// it to somebody who rewrote all that follows and the head as well. Who wants to be safe from an operator of the database
// keeps the head's hash elsewhere from time to time.
//
// The package is pure: it stores nothing and knows no database. An entry is written by the store in the transaction
// of the change that it is about.
package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Action is what was done, or refused: "key.create".
type Action string

// Outcome is how it came out. The values are stored and must not change.
type Outcome uint8

// The outcomes.
const (
	Success Outcome = iota + 1
	Refused
)

var outcomeNames = [...]string{Success: "success", Refused: "refused"}

// String returns the outcome as the API names it, and "" for what is none.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) {
		return ""
	}
	return outcomeNames[o]
}

// ParseOutcome returns the outcome called name.
func ParseOutcome(name string) (Outcome, bool) {
	for i, n := range outcomeNames {
		if n == name && n != "" {
			return Outcome(i), true
		}
	}
	return 0, false
}

// The types of targets.
const (
	Key          = "key"
	Organization = "organization"
	Member       = "member" // its id is that of the user
	User         = "user"
	Session      = "session"
	Node         = "node" // has no id here
	Log          = "audit"
)

// Types lists them all.
func Types() []string { return []string{Key, Organization, Member, User, Session, Node, Log} }

// Actor is who did it; a zero field is nobody, or not known.
type Actor struct {
	UserID    int64
	KeyID     int64 // the key that called
	SessionID int64 // the session it was done in
}

// Target is what it was done to. A zero ID is none, as where nothing was created.
type Target struct {
	Type string
	ID   int64
}

// Hash links an entry to the one before it.
type Hash [sha256.Size]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Entry says who did what to what, when, from where, and how it came out. It holds no secret.
type Entry struct {
	ID             int64 // from 1, without gaps; given by the store
	OccurredAt     time.Time
	Actor          Actor
	Action         Action
	Target         Target
	OrganizationID int64  // which it is about; 0: none
	IP             string // where the request came from; "": not known
	RequestID      string // "": no request
	Outcome        Outcome
	Code           string // with Refused: the error's code
	// Before and After are JSON objects, what the target was and what it became; nil: nothing to say.
	Before, After []byte

	PreviousHash Hash // of the entry before; zero for the first
	Hash         Hash
}

// format begins what is hashed, so that another way to write an entry down would give other hashes.
const format = "apikeyd audit entry 1"

// Chain returns the entry as the one behind previous: with the next id, with a time that is not before the other's,
// and with its hash. Times are kept to the millisecond.
func (e Entry) Chain(previous Head) Entry {
	e.ID = previous.ID + 1
	e.OccurredAt = e.OccurredAt.UTC().Truncate(time.Millisecond)
	if e.OccurredAt.Before(previous.OccurredAt) {
		e.OccurredAt = previous.OccurredAt // so that a time finds its place in the log by bisection
	}
	e.PreviousHash = previous.Hash
	e.Hash = e.computed()
	return e
}

// computed returns the hash that the entry should have: SHA-256 over each field in turn, integers as 8 bytes big-endian, and
// texts behind their length in the same form.
func (e *Entry) computed() Hash {
	b := make([]byte, 0, 512)
	number := func(n int64) { b = binary.BigEndian.AppendUint64(b, uint64(n)) }
	text := func(s string) { number(int64(len(s))); b = append(b, s...) }
	text(format)
	b = append(b, e.PreviousHash[:]...)
	number(e.ID)
	number(e.OccurredAt.UnixMilli())
	number(e.Actor.UserID)
	number(e.Actor.KeyID)
	number(e.Actor.SessionID)
	text(string(e.Action))
	text(e.Target.Type)
	number(e.Target.ID)
	number(e.OrganizationID)
	text(e.IP)
	text(e.RequestID)
	number(int64(e.Outcome))
	text(e.Code)
	text(string(e.Before))
	text(string(e.After))
	return sha256.Sum256(b)
}

// Head is where a chain ends. The zero Head is that of an empty one.
type Head struct {
	ID         int64
	Hash       Hash
	OccurredAt time.Time
}

// Head returns the entry as the end of a chain.
func (e *Entry) Head() Head { return Head{ID: e.ID, Hash: e.Hash, OccurredAt: e.OccurredAt} }

// Extent is what the store says of its log: where it begins, behind what was deleted because of its age, and where it
// ends.
type Extent struct {
	Pruned Head // the last entry that was deleted; zero: none was
	Last   Head
}

// BrokenError is the first place where a log is not what was written.
type BrokenError struct {
	ID     int64 // of the entry
	Reason string
}

func (e *BrokenError) Error() string { return fmt.Sprintf("audit entry %d %s", e.ID, e.Reason) }

// Follow returns the head behind e, where e is what follows previous, and a *BrokenError otherwise.
func Follow(previous Head, e *Entry) (Head, error) {
	switch want := previous.ID + 1; {
	case e.ID > want:
		return Head{}, &BrokenError{want, "was removed"}
	case e.ID < want:
		return Head{}, &BrokenError{e.ID, "was inserted"}
	case e.PreviousHash != previous.Hash:
		return Head{}, &BrokenError{e.ID, "does not follow the entry before it: one of the two was altered or inserted"}
	case e.Hash != e.computed():
		return Head{}, &BrokenError{e.ID, "was altered"}
	}
	return e.Head(), nil
}

// End checks that a log whose entries lead to reached ends where the store says it does.
func (x *Extent) End(reached Head) error {
	switch {
	case reached.ID < x.Last.ID:
		return &BrokenError{reached.ID + 1, "was removed"}
	case reached.ID > x.Last.ID:
		return &BrokenError{x.Last.ID + 1, "was inserted"}
	case reached.Hash != x.Last.Hash:
		return &BrokenError{reached.ID, "was altered"}
	}
	return nil
}
