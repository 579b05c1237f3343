// Package password stores the passwords of people, as Argon2id, and says which ones may be chosen.
//
// What is stored is a PHC string, $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH, which names its own parameters: when better
// ones are due, hashes made with the old ones go on working, and Verify tells the caller to make a new one at the next
// good sign-in. One computation takes 19 MiB and some 40 ms of a processor, which is the point of it, so a Hasher runs
// only a few at once and lets the others wait; whoever gives up waiting costs nothing.
//
// Passwords are put into Unicode's form NFKC before they are hashed or judged, and are not changed otherwise: not
// trimmed, not folded to one case. The same key gives é as one code point on one system and as two on another, and a
// Japanese keyboard gives Latin letters in full width; their owners see the same password. The profile OpaqueString of
// RFC 8265 uses NFC and maps spaces of other widths to the common one; NFKC does both.
//
// The rules for a new password are few: long enough, and not one of those that are guessed first. There are no rules
// about which characters it must hold. They make passwords worse: people meet them all in the same way.
//
// The package does not limit how often one may guess; that is for throttle. It keeps nothing, and no password or hash
// gets into an error.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// current is what new hashes are made with: 19 MiB, two passes, one lane, the first recommendation of OWASP's Password
// Storage Cheat Sheet. https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
var current = params{memory: 19 * 1024, passes: 2, lanes: 1, saltLength: 16, keyLength: 32}

// Hasher makes hashes of passwords, and compares passwords with them. Its methods are safe for concurrent use.
type Hasher struct {
	slots chan struct{} // holds one element for each computation that runs

	// decoy is the hash of no password: salt and key are random. It stands in for what a user does not have.
	decoy string

	derive func(password, salt []byte, p params) []byte
}

// NewHasher returns a Hasher that runs at most concurrency computations at once. More than the processors there are
// (runtime.GOMAXPROCS) makes none faster and takes 19 MiB for each. It panics where concurrency is less than 1.
func NewHasher(concurrency int) *Hasher {
	if concurrency < 1 {
		panic(fmt.Sprintf("password: %d computations at once", concurrency))
	}
	return &Hasher{
		slots:  make(chan struct{}, concurrency),
		decoy:  phc{current, random(current.saltLength), random(current.keyLength)}.String(),
		derive: argon2id,
	}
}

// Hash returns the PHC string of password under a new salt. It does not judge the password; Check does. The only error
// is that of ctx, where it ended before the computation began.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	made := phc{params: current, salt: random(current.saltLength)}
	key, err := h.compute(ctx, password, made)
	if err != nil {
		return "", err
	}
	made.key = key
	return made.String(), nil
}

// Verify reports whether password is the one that encoded was made from, and whether encoded is outdated: made with
// other parameters than new ones are. Then the caller is to store a new hash, if ok. An error means that nothing was
// compared: ErrMalformed and ErrExcessive where encoded is damaged, or that of ctx.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (ok, outdated bool, err error) {
	stored, err := parse(encoded)
	if err != nil {
		return false, false, err
	}
	key, err := h.compute(ctx, password, stored)
	if err != nil {
		return false, false, err
	}
	return subtle.ConstantTimeCompare(key, stored.key) == 1, stored.params != current, nil
}

// VerifyNone is for a user who does not exist or has no password. It does all the work that Verify does for a user who
// has one, so that the time of an answer does not tell who exists, and compares with a hash that nothing matches.
func (h *Hasher) VerifyNone(ctx context.Context, password string) error {
	_, _, err := h.Verify(ctx, h.decoy, password)
	return err
}

// compute derives the key of password under the parameters and salt of p, when its turn comes.
func (h *Hasher) compute(ctx context.Context, password string, p phc) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // select picks at random where a slot is free as well
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.slots }()
	return h.derive([]byte(normalize(password)), p.salt, p.params), nil
}

func argon2id(password, salt []byte, p params) []byte {
	return argon2.IDKey(password, salt, p.passes, p.memory, p.lanes, uint32(p.keyLength))
}

// normalize gives the one spelling of a password that is hashed and judged.
func normalize(password string) string { return norm.NFKC.String(password) }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}
