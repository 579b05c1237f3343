package password

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const secret = "tr0ubadours of cherbourg"

func TestHashAndVerify(t *testing.T) {
	h := NewHasher(1)
	encoded, err := h.Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(encoded, want) || len(encoded) != len(want)+22+1+43 {
		t.Errorf("Hash = %s, want %s, 16 bytes of salt and 32 of hash", encoded, want)
	}
	for password, want := range map[string]bool{
		secret:                  true,
		secret + " ":            false,
		strings.ToUpper(secret): false,
		"":                      false,
	} {
		ok, outdated, err := h.Verify(t.Context(), encoded, password)
		if ok != want || outdated || err != nil {
			t.Errorf("Verify(%q) = %v, %v, %v, want %v", password, ok, outdated, err, want)
		}
	}
	if again, err := h.Hash(t.Context(), secret); err != nil || again == encoded {
		t.Errorf("a second hash of the same password is the same, or %v", err)
	}
}

// The reference implementation made these, as in
// printf %s password | argon2 saltsaltsaltsalt -id -t 2 -k 19456 -p 1 -l 32 -e
func TestVerifyWhatOthersMade(t *testing.T) {
	h := NewHasher(1)
	for _, tt := range []struct {
		encoded  string
		outdated bool
	}{
		{"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$T95q7S205tf9WI4HhYOZDIQmMMAbntacGXTIku0gXT8", false},
		{"$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$r8aHA5ipzgCBZ+GG4nmVxw6T30JorwMePu+jz30BBMc", true},
		{"$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$cWBGus0OsbGgiqOo4og34w", true},
	} {
		ok, outdated, err := h.Verify(t.Context(), tt.encoded, "password")
		if !ok || outdated != tt.outdated || err != nil {
			t.Errorf("Verify(%s) = %v, outdated %v, %v", tt.encoded, ok, outdated, err)
		}
		if ok, _, err := h.Verify(t.Context(), tt.encoded, "passwore"); ok || err != nil {
			t.Errorf("Verify(%s) of another password = %v, %v", tt.encoded, ok, err)
		}
	}
}

// What is typed is the same on every system, though its bytes are not.
func TestNormalized(t *testing.T) {
	h := NewHasher(1)
	encoded, err := h.Hash(t.Context(), "caf\u00e9 fine \u00a0 1234")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{
		"cafe\u0301 fine   1234":                        true,
		"caf\u00e9 \ufb01ne   \uff11\uff12\uff13\uff14": true,
		"cafe fine   1234":                              false,
		"caf\u00e9 fine 1234":                           false,
	} {
		if ok, _, err := h.Verify(t.Context(), encoded, password); ok != want || err != nil {
			t.Errorf("Verify(%+q) = %v, %v, want %v", password, ok, err, want)
		}
	}
}

func TestOutdated(t *testing.T) {
	h := NewHasher(1)
	for about, change := range map[string]func(*params){
		"memory": func(p *params) { p.memory-- },
		"passes": func(p *params) { p.passes++ },
		"lanes":  func(p *params) { p.lanes++ },
		"salt":   func(p *params) { p.saltLength-- },
		"key":    func(p *params) { p.keyLength++ },
	} {
		old := phc{params: current}
		change(&old.params)
		old.salt = random(old.saltLength)
		old.key = argon2id([]byte(secret), old.salt, old.params)
		if ok, outdated, err := h.Verify(t.Context(), old.String(), secret); !ok || !outdated || err != nil {
			t.Errorf("other %s: Verify = %v, outdated %v, %v", about, ok, outdated, err)
		}
	}
}

// computation is what a Hasher asked Argon2id for.
type computation struct {
	password string
	params
}

// watched returns a Hasher that notes what it computes.
func watched() (h *Hasher, computed *[]computation) {
	h, computed = NewHasher(1), new([]computation)
	h.derive = func(password, salt []byte, p params) []byte {
		if len(salt) != p.saltLength {
			panic("another salt than the parameters say")
		}
		*computed = append(*computed, computation{string(password), p})
		return bytes.Repeat([]byte{7}, p.keyLength)
	}
	return h, computed
}

func TestVerifyNoneDoesTheSameWork(t *testing.T) {
	h, computed := watched()
	encoded, err := h.Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	*computed = nil
	if ok, _, err := h.Verify(t.Context(), encoded, secret); !ok || err != nil {
		t.Fatalf("Verify = %v, %v", ok, err)
	}
	if err := h.VerifyNone(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if len(*computed) != 2 || (*computed)[0] != (*computed)[1] {
		t.Errorf("computed %v, want the same twice", *computed)
	}
	if len(h.decoy) != len(encoded) {
		t.Errorf("the decoy is %d bytes long, a hash %d: not the same to parse", len(h.decoy), len(encoded))
	}
	if h.decoy == NewHasher(1).decoy {
		t.Error("the decoy is not random")
	}
}

func TestADamagedHashCostsNothing(t *testing.T) {
	h, computed := watched()
	for _, encoded := range append(malformed, excessive...) {
		ok, outdated, err := h.Verify(t.Context(), encoded, secret)
		if ok || outdated || err == nil {
			t.Errorf("Verify(%q) = %v, %v, %v", encoded, ok, outdated, err)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || encoded != "" && strings.Contains(err.Error(), encoded)) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
	if len(*computed) > 0 {
		t.Errorf("computed %v", *computed)
	}
}

func TestComputationsWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, calls = 2, 7
		h := NewHasher(slots)
		var mu sync.Mutex
		running, most, done := 0, 0, 0
		h.derive = func(_, _ []byte, p params) []byte {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second) // of the bubble's own clock
			mu.Lock()
			running--
			done++
			mu.Unlock()
			return make([]byte, p.keyLength)
		}
		began := time.Now()
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				var err error
				switch i % 3 {
				case 0:
					_, err = h.Hash(t.Context(), secret)
				case 1:
					_, _, err = h.Verify(t.Context(), h.decoy, secret)
				default:
					err = h.VerifyNone(t.Context(), secret)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most != slots || done != calls {
			t.Errorf("%d of %d done, %d at once, want %d", done, calls, most, slots)
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("%d calls took %v", calls, took)
		}
	})
}

func TestWhoGivesUpWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHasher(1)
		computed := 0
		h.derive = func(_, _ []byte, p params) []byte {
			computed++
			time.Sleep(time.Hour)
			return make([]byte, p.keyLength)
		}
		go h.VerifyNone(t.Context(), secret)
		synctest.Wait()

		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := h.Hash(ctx, secret); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Hash: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("waited %v", took)
		}
		if _, _, err := h.Verify(ctx, h.decoy, secret); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Verify: %v", err)
		}
		time.Sleep(time.Hour) // the slot is free again
		synctest.Wait()
		if err := h.VerifyNone(ctx, secret); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("VerifyNone: %v", err)
		}
		if computed != 1 {
			t.Errorf("%d computations, all but one of them for nobody", computed)
		}
	})
}

func TestNewHasherRefusesNoSlots(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewHasher(0) returned: every call would wait for ever")
		}
	}()
	NewHasher(0)
}

func BenchmarkVerify(b *testing.B) {
	h := NewHasher(1)
	for range b.N {
		if err := h.VerifyNone(b.Context(), secret); err != nil {
			b.Fatal(err)
		}
	}
}
