package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What is wrong with a stored string. The string itself is not in the error: it is worth guessing at.
var (
	ErrMalformed = errors.New("password: the stored hash is not a PHC string of Argon2id")
	ErrExcessive = errors.New("password: the stored hash has parameters out of bounds")
)

// Bounds of what a stored string may ask for. They have room for OWASP's and RFC 9106's recommendations for small
// memory and for what other programs store, and keep a damaged row, or one that someone wrote into the database, from
// taking the machine: the worst of them takes 128 MiB and a second or two.
const (
	maxMemory = 128 * 1024 // KiB
	maxPasses = 10
	maxLanes  = 16

	minSalt, maxSalt = 8, 64  // bytes; 8 is Argon2's own minimum
	minKey, maxKey   = 16, 64 // bytes; a shorter one would be matched by chance

	maxEncoded = 256 // bytes of a whole string: more than all of the above need
)

// params are what an Argon2id computation depends on, besides the password and the salt's value.
type params struct {
	memory     uint32 // KiB
	passes     uint32
	lanes      uint8
	saltLength int // bytes
	keyLength  int // bytes
}

// phc is a stored hash in parts.
type phc struct {
	params
	salt, key []byte
}

// String gives the one spelling of p.
func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.lanes,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.key))
}

// parse reads a string that String made. Any other spelling of the same thing is malformed.
func parse(encoded string) (phc, error) {
	if len(encoded) > maxEncoded {
		return phc{}, ErrMalformed
	}
	fields := strings.Split(encoded, "$")
	if len(fields) != 6 {
		return phc{}, ErrMalformed
	}
	settings := strings.Split(fields[3], ",")
	if len(settings) != 3 {
		return phc{}, ErrMalformed
	}
	memory, errMemory := setting(settings[0], "m=", 32)
	passes, errPasses := setting(settings[1], "t=", 32)
	lanes, errLanes := setting(settings[2], "p=", 8)
	salt, errSalt := base64.RawStdEncoding.DecodeString(fields[4])
	key, errKey := base64.RawStdEncoding.DecodeString(fields[5])
	if errors.Join(errMemory, errPasses, errLanes, errSalt, errKey) != nil {
		return phc{}, ErrMalformed
	}
	p := phc{params{uint32(memory), uint32(passes), uint8(lanes), len(salt), len(key)}, salt, key}
	if p.String() != encoded { // leading zeros, line breaks and spare bits in base64, another algorithm or version
		return phc{}, ErrMalformed
	}
	if !p.bounded() {
		return phc{}, ErrExcessive
	}
	return p, nil
}

// setting reads NAME=NUMBER. Its error holds what was read, and must not leave parse.
func setting(field, name string, bits int) (uint64, error) {
	return strconv.ParseUint(strings.TrimPrefix(field, name), 10, bits)
}

func (p params) bounded() bool {
	return p.passes >= 1 && p.passes <= maxPasses &&
		p.lanes >= 1 && p.lanes <= maxLanes &&
		p.memory >= 8*uint32(p.lanes) && p.memory <= maxMemory && // Argon2 needs 8 KiB for each lane
		p.saltLength >= minSalt && p.saltLength <= maxSalt &&
		p.keyLength >= minKey && p.keyLength <= maxKey
}
