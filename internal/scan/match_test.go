package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/apikeyd/apikeyd/internal/token"
)

// naive finds tokens as one would write it down: it tries every beginning and every length.
func naive(text []byte, prefixes ...string) (found []string) {
	for end := range len(text) + 1 {
		for length := token.MinLength; length <= min(token.MaxLength, end); length++ {
			tok := text[end-length : end]
			if token.WellFormed(tok) && (len(prefixes) == 0 || slices.Contains(prefixes, string(tok[:len(tok)-secretLength-1]))) {
				found = append(found, string(tok))
				break
			}
		}
	}
	return found
}

// scanned returns the tokens of a stream as "line:column token".
func scanned(t testing.TB, m matcher, r io.Reader) []string {
	t.Helper()
	return scannedBy(t, newStream(m), r)
}

// scannedBy is scanned by a stream that holds less.
func scannedBy(t testing.TB, s *stream, r io.Reader) (found []string) {
	t.Helper()
	_, err := s.scan(context.Background(), r, func(h hit) error {
		found = append(found, fmt.Sprintf("%d:%d %s", h.line, h.column, h.token.Reveal()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// small returns a stream that reads few bytes at once.
func small(bytes int) *stream { return &stream{buffer: make([]byte, carry+bytes)} }

func tokensOf(found []string) (tokens []string) {
	for _, f := range found {
		_, tok, _ := strings.Cut(f, " ")
		tokens = append(tokens, tok)
	}
	return tokens
}

func TestWhatIsFound(t *testing.T) {
	a, b, long := token.New("ak").Reveal(), token.New("my_app2").Reveal(), token.New("abcdefghij0123456789").Reveal()
	wrong := []byte(a)
	wrong[20] ^= 1
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"alone", a, []string{"1:1 " + a}},
		{"lines", "x\ny = " + a + "\n" + b, []string{"2:5 " + a, "3:1 " + b}},
		{"quoted", `{"key":"` + a + `"}`, []string{"1:9 " + a}},
		{"in a word", "xX" + a + "yY", []string{"1:3 " + a}},
		{"one after the other", a + b + long, []string{"1:1 " + a, fmt.Sprintf("1:%d %s", len(a)+1, b), fmt.Sprintf("1:%d %s", len(a+b)+1, long)}},
		{"long prefix", "0" + long, []string{"1:2 " + long}},
		{"wrong checksum", string(wrong), nil},
		{"cut off", a[:len(a)-1], nil},
		{"without prefix", a[1:], nil},
		{"another case", strings.ToUpper(a), nil},
		{"more digits", a + strings.Repeat("0", 300), []string{"1:1 " + a}},
		{"only digits", strings.Repeat("0", 1000), nil},
		{"only underscores", strings.Repeat("_", 1000), nil},
		{"carriage returns", "a\r\n" + a + "\r\n", []string{"2:1 " + a}},
		{"binary", "\x00\xff\x00" + a + "\x00", []string{"1:4 " + a}},
	} {
		if got := scanned(t, matcher{}, strings.NewReader(tt.text)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	a, b, c := token.New("ak").Reveal(), token.New("my_app").Reveal(), token.New("app").Reveal()
	text := "x" + a + " " + b + " z" + c
	for _, prefixes := range [][]string{{"ak"}, {"my_app"}, {"app"}, {"ak", "app"}, {"none"}, nil} {
		got := tokensOf(scanned(t, matcher{prefixes}, strings.NewReader(text)))
		if want := naive([]byte(text), prefixes...); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", prefixes, got, want)
		}
	}
}

// utf16Of writes text as Windows does.
func utf16Of(text string, bigEndian bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

func TestUTF16(t *testing.T) {
	a, b := token.New("ak").Reveal(), token.New("my_app2").Reveal()
	for _, bigEndian := range []bool{false, true} {
		for before := range 300 {
			for _, pad := range []string{"", "\x00"} {
				for _, behind := range []string{"", "\n", "”", "鍵", " more " + b} {
					content := append([]byte(pad), utf16Of(strings.Repeat("€", before)+a+behind, bigEndian)...)
					want := []string{a}
					if strings.Contains(behind, b) {
						want = append(want, b)
					}
					if got := tokensOf(scannedBy(t, small(100), bytes.NewReader(content))); !slices.Equal(got, want) {
						t.Errorf("big endian %t, behind %d characters, before %q: %q", bigEndian, before, behind, got)
					}
				}
			}
		}
	}
}

// A token is found wherever the borders of what is read fall, once, and with its place.
func TestBorders(t *testing.T) {
	tok := token.New("abcdefghij0123456789").Reveal()
	for _, size := range []int{1, 10, 64, 300} {
		for at := range 3 * carry {
			text := []byte(strings.Repeat("012345678\n", 100))
			copy(text[at:], "\n"+tok+"\n")
			lines := bytes.Count(text[:at+1], []byte("\n")) + 1
			want := []string{fmt.Sprintf("%d:1 %s", lines, tok)}
			for _, r := range []io.Reader{bytes.NewReader(text), iotest.HalfReader(bytes.NewReader(text))} {
				if got := scannedBy(t, small(size), r); !slices.Equal(got, want) {
					t.Fatalf("reading %d bytes at once, at %d: %q, want %q", size, at, got, want)
				}
			}
			// At the very end.
			if got := tokensOf(scannedBy(t, small(size), bytes.NewReader(text[:at+1+len(tok)]))); !slices.Equal(got, []string{tok}) {
				t.Fatalf("reading %d bytes at once, at the end of %d: %q", size, at, got)
			}
		}
	}
	// And as it is in earnest.
	text := append(bytes.Repeat([]byte("x"), carry+chunk-len(tok)/2), tok...)
	if got := tokensOf(scanned(t, matcher{}, bytes.NewReader(text))); !slices.Equal(got, []string{tok}) {
		t.Errorf("at the end: %q", got)
	}
}

func TestErrorsOfAStream(t *testing.T) {
	tok := token.New("ak").Reveal()
	broken := errors.New("broken")
	s := newStream(matcher{})
	if _, err := s.scan(t.Context(), iotest.ErrReader(broken), func(hit) error { return nil }); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	if _, err := s.scan(t.Context(), strings.NewReader(tok), func(hit) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a consumer that fails: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.scan(ended, strings.NewReader(tok), func(hit) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// confusing returns text that looks like tokens.
func confusing(r *rand.Rand) []byte {
	var b []byte
	for range r.IntN(40) {
		switch r.IntN(8) {
		case 0:
			b = append(b, token.New([]string{"ak", "a_b", "abcdefghij0123456789", "my_app2"}[r.IntN(4)]).Reveal()...)
		case 1:
			tok := []byte(token.New("ak").Reveal())
			tok[r.IntN(len(tok))] = byte(r.IntN(256))
			b = append(b, tok...)
		case 2:
			tok := token.New("ak_x").Reveal()
			b = append(b, tok[r.IntN(len(tok)):]...)
		case 3:
			tok := token.New("ak_x").Reveal()
			b = append(b, tok[:r.IntN(len(tok))]...)
		case 4:
			b = append(b, strings.Repeat("_", r.IntN(5))...)
		case 5:
			for range r.IntN(80) {
				b = append(b, "abcXYZ019_"[r.IntN(10)])
			}
		case 6:
			for range r.IntN(20) {
				b = append(b, byte(r.IntN(256)))
			}
		case 7:
			b = append(b, '\n')
		}
	}
	return b
}

func TestAgainstAnOracle(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		text := confusing(r)
		if got, want := tokensOf(scannedBy(t, small(1+r.IntN(200)), bytes.NewReader(text))), naive(text); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q: %q, want %q", seed, text, got, want)
		}
	}
}

// FuzzScan holds the scanner against the oracle, with a token put somewhere.
func FuzzScan(f *testing.F) {
	f.Add([]byte("x_"), []byte("y"), uint16(0))
	f.Add([]byte(token.New("ak").Reveal()), []byte("_"), uint16(20))
	f.Fuzz(func(t *testing.T, before, behind []byte, cut uint16) {
		tok := []byte(token.New("ak").Reveal())
		if cut != 0 {
			tok = tok[:int(cut)%len(tok)]
		}
		text := slices.Concat(before, tok, behind)
		got := tokensOf(scanned(t, matcher{}, bytes.NewReader(text)))
		plain := naive(text)
		if bytes.IndexByte(text, 0) >= 0 { // what is in UTF-16 the oracle does not know
			got = slices.DeleteFunc(got, func(s string) bool { return !bytes.Contains(text, []byte(s)) })
		}
		if !slices.Equal(got, plain) {
			t.Fatalf("%q: %q, want %q", text, got, plain)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	prose, noise := []byte(strings.Repeat("func (s *stream) scan_it(ctx context.Context) error {\n", 1<<16)), make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	base64url := make([]byte, 4<<20)
	for i := range base64url {
		base64url[i] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"[r.IntN(64)]
	}
	for name, text := range map[string][]byte{"source": prose, "binary": noise, "base64url": base64url} {
		b.Run(name, func(b *testing.B) {
			s := newStream(matcher{})
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := s.scan(b.Context(), bytes.NewReader(text), func(hit) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
