package password

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const (
	salt = "c2FsdHNhbHRzYWx0c2FsdA"                      // 16 bytes
	key  = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE" // 32 bytes
)

// good is the string that the ones below differ from in one thing.
const good = "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + key

var malformed = []string{
	"",
	"$",
	"$$$$$",
	good[1:],
	good + "$",
	good + "=",
	good + "\n",
	" " + good,
	good[:len(good)-1] + "F", // spare bits that are not zero
	good[:40] + "\n" + good[40:],
	strings.ToUpper(good),
	strings.Replace(good, "argon2id", "argon2i", 1),
	strings.Replace(good, "argon2id", "argon2d", 1),
	strings.Replace(good, "v=19", "v=16", 1),
	strings.Replace(good, "$v=19", "", 1),
	strings.Replace(good, "v=19", "v=19,keyid=a", 1),
	strings.Replace(good, "m=19456", "m=019456", 1),
	strings.Replace(good, "m=19456", "m=+19456", 1),
	strings.Replace(good, "m=19456", "19456", 1),
	strings.Replace(good, "m=19456", "m=m=19456", 1),
	strings.Replace(good, "m=19456", "m=-1", 1),
	strings.Replace(good, "m=19456", "m=4294967296", 1), // 2^32
	strings.Replace(good, "p=1", "p=256", 1),
	strings.Replace(good, "p=1", "p=", 1),
	strings.Replace(good, ",p=1", "", 1),
	strings.Replace(good, "p=1", "p=1,x=1", 1),
	strings.Replace(good, "m=19456,t=2", "t=2,m=19456", 1),
	strings.Replace(good, salt, "c2Fsd!", 1),
	strings.Replace(good, salt, strings.Repeat("c2Fs", 1000), 1),
	"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", // bcrypt
	"$argon2id$v=19$m=19456,t=2,p=1$" + salt,
}

var excessive = []string{
	strings.Replace(good, "m=19456", "m=131073", 1),
	strings.Replace(good, "m=19456", "m=4294967295", 1),
	strings.Replace(good, "m=19456", "m=7", 1),
	strings.Replace(good, "m=19456", "m=0", 1),
	strings.Replace(good, "t=2", "t=11", 1),
	strings.Replace(good, "t=2", "t=4294967295", 1),
	strings.Replace(good, "t=2", "t=0", 1), // Argon2 panics
	strings.Replace(good, "p=1", "p=17", 1),
	strings.Replace(good, "p=1", "p=255", 1),
	strings.Replace(good, "p=1", "p=0", 1), // Argon2 panics
	strings.Replace(good, salt, "", 1),
	strings.Replace(good, salt, "c2FsdHNhbA", 1),           // 7 bytes
	strings.Replace(good, key, "", 1),                      // a key that every password has
	strings.Replace(good, key, salt[:20], 1),               // 15 bytes
	strings.Replace(good, key, strings.Repeat("A", 87), 1), // 65 bytes
}

func TestParse(t *testing.T) {
	for _, encoded := range []string{
		good,
		strings.Replace(good, "m=19456,t=2,p=1", "m=131072,t=10,p=16", 1),
		strings.Replace(good, "m=19456,t=2,p=1", "m=8,t=1,p=1", 1),
	} {
		if p, err := parse(encoded); err != nil || p.String() != encoded {
			t.Errorf("parse(%s) = %s, %v", encoded, p, err)
		}
	}
	for _, encoded := range malformed {
		if p, err := parse(encoded); !errors.Is(err, ErrMalformed) {
			t.Errorf("parse(%q) = %s, %v", encoded, p, err)
		}
	}
	for _, encoded := range excessive {
		if p, err := parse(encoded); !errors.Is(err, ErrExcessive) {
			t.Errorf("parse(%q) = %s, %v", encoded, p, err)
		}
	}
}

// A hash has one spelling, and none asks for more than the bounds.
func FuzzParse(f *testing.F) {
	f.Add(good)
	for _, encoded := range append(malformed, excessive...) {
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		p, err := parse(encoded)
		if err != nil {
			if p.salt != nil || p.key != nil {
				t.Errorf("parse(%q) = %v with %v", encoded, p, err)
			}
			return
		}
		if p.String() != encoded {
			t.Errorf("%q is another spelling of %s", encoded, p)
		}
		if p.memory > maxMemory || p.passes > maxPasses || p.lanes > maxLanes || len(encoded) > maxEncoded {
			t.Errorf("%q is out of bounds", encoded)
		}
		again, err := parse(p.String())
		if err != nil || again.params != p.params || !bytes.Equal(again.salt, p.salt) || !bytes.Equal(again.key, p.key) {
			t.Errorf("%q does not survive a round trip: %v, %v", encoded, again, err)
		}
	})
}
