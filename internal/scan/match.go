package scan

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/apikeyd/apikeyd/internal/token"
)

// secretLength is how many digits stand behind the last underscore of a token: body and checksum.
const secretLength = 49

// chunk is how much is read at once, and carry how much of it is looked at again with the next: one byte less than a token in UTF-16
// takes with what must stand behind it.
const (
	chunk = 256 << 10 // bytes
	carry = 2*token.MaxLength + 1
)

var isDigit = func() (is [256]bool) {
	for c := range 256 {
		is[c] = '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
	}
	return is
}()

// matcher finds tokens.
type matcher struct {
	prefixes []string // none: any prefix
}

// in calls yield with the bounds of each token in text, in their order.
//
// Behind the last underscore of a token there are 49 digits, and an underscore is no digit: so what is looked for are runs of
// digits, each of which holds one candidate at most, at its beginning. A run cannot be where every 49th byte is not one of
// its digits, so most bytes are not looked at.
func (m *matcher) in(text []byte, yield func(start, end int)) {
	run := 0     // where a run may begin
	checked := 0 // everything from run to here is a digit
	for {
		last := run + secretLength - 1
		if last >= len(text) {
			return
		}
		i := last
		for i >= checked && isDigit[text[i]] {
			i--
		}
		if i >= checked { // a run begins behind this byte at the earliest
			run, checked = i+1, last+1
			continue
		}
		if start := m.start(text, run); start >= 0 {
			yield(start, run+secretLength)
		}
		end := last + 1
		for end < len(text) && isDigit[text[end]] {
			end++
		}
		run, checked = end+1, end+1
	}
}

// start returns where the token begins whose body begins at body, or -1 where there is none. Where a prefix begins cannot be
// seen; the checksum tells.
func (m *matcher) start(text []byte, body int) int {
	if body < 1 || text[body-1] != '_' {
		return -1
	}
	end := body + secretLength
	if len(m.prefixes) > 0 {
		for _, p := range m.prefixes {
			start := body - 1 - len(p)
			if start >= 0 && string(text[start:body-1]) == p && token.WellFormed(text[start:end]) {
				return start
			}
		}
		return -1
	}
	shortest := token.MinLength - secretLength
	for start := body - shortest; start >= 0 && end-start <= token.MaxLength; start-- {
		c := text[start]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return -1
		}
		if token.WellFormed(text[start:end]) {
			return start
		}
	}
	return -1
}

// hit is a token in a stream.
type hit struct {
	token        token.Token
	line, column int // from 1; columns are bytes
}

// stream finds tokens in a stream. It holds no more than a chunk of it. A stream is for one goroutine.
type stream struct {
	matcher
	buffer []byte
	found  []span
	// compressed says that what was scanned last is compressed, so that there may be more in it than was seen.
	compressed bool
}

// span is a token in the buffer.
type span struct {
	start int
	text  []byte
}

func newStream(m matcher) *stream {
	return &stream{matcher: m, buffer: make([]byte, carry+chunk)}
}

// scan calls yield for each token in r, in their order, and returns how many bytes there were. Its error is that of r, of ctx or of yield.
func (s *stream) scan(ctx context.Context, r io.Reader, yield func(hit) error) (n int64, err error) {
	held := 0 // bytes of the buffer that were looked at before
	at := place{line: 1}
	s.compressed = false
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		got, err := io.ReadFull(r, s.buffer[held:])
		n += int64(got)
		final := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !final {
			return n, err
		}
		window := s.buffer[:held+got]
		if n == int64(got) {
			s.compressed = isCompressed(window)
		}
		for _, f := range s.look(window, held, final) {
			at.forward(window, f.start)
			secret, _ := token.Parse(f.text)
			if err := yield(hit{secret, at.line, f.start - at.lineStart + 1}); err != nil {
				return n, err
			}
		}
		if final {
			return n, nil
		}
		keep := min(carry, len(window))
		at.forward(window, len(window)-keep)
		at.shift(len(window) - keep)
		held = copy(s.buffer, window[len(window)-keep:])
	}
}

// look returns the tokens in a window, of which the first held bytes were looked at before, in their order. final: nothing
// comes behind it.
func (s *stream) look(window []byte, held int, final bool) []span {
	s.found = s.found[:0]
	s.in(window, func(start, end int) {
		if end > held {
			s.found = append(s.found, span{start, window[start:end]})
		}
	})
	plain := len(s.found)
	for at := 0; ; at++ {
		next := bytes.Index(window[at:], wideUnderscore)
		if next < 0 {
			break
		}
		at += next
		if text, end := s.wide(window, at, final); text != nil && end > held {
			s.found = append(s.found, span{at - 2*(len(text)-secretLength-1), text})
		}
	}
	if len(s.found) > plain {
		slices.SortStableFunc(s.found, func(a, b span) int { return a.start - b.start })
	}
	return s.found
}

// wideUnderscore begins the secret part of a token in UTF-16, which writes ASCII with a zero behind each character or, in the other byte order,
// before it.
var wideUnderscore = []byte{'_', 0}

// wide returns the token in UTF-16 whose last underscore is at a place in the window, as ASCII, and where it ends with what must stand
// behind it; nil where there is none.
func (s *stream) wide(window []byte, at int, final bool) (text []byte, end int) {
	end = at + 2*(1+secretLength)
	if end > len(window) && (!final || end > len(window)+1) {
		return nil, 0
	}
	for i := at; i < end; i += 2 {
		// Behind the last character there may be the first half of any other.
		if i > at && !isDigit[window[i]] || i+2 < end && window[i+1] != 0 {
			return nil, 0
		}
	}
	first := at // of what may be the prefix
	for first >= 2 && at-first < 2*token.MaxLength && window[first-1] == 0 && window[first-2] != 0 {
		first -= 2
	}
	narrow := make([]byte, 0, 2*token.MaxLength)
	for i := first; i < end; i += 2 {
		narrow = append(narrow, window[i])
	}
	body := (at-first)/2 + 1
	start := s.start(narrow, body)
	if start < 0 {
		return nil, 0
	}
	return narrow[start:], end
}

// place counts lines.
type place struct {
	line      int
	counted   int // how far, in the window
	lineStart int // where the line begins, in the window: negative where that was before it
}

// forward counts up to a place in the window.
func (p *place) forward(window []byte, to int) {
	if to <= p.counted {
		return
	}
	between := window[p.counted:to]
	if n := bytes.Count(between, []byte{'\n'}); n > 0 {
		p.line += n
		p.lineStart = p.counted + bytes.LastIndexByte(between, '\n') + 1
	}
	p.counted = to
}

// shift is for a window that begins n bytes later.
func (p *place) shift(n int) { p.counted, p.lineStart = p.counted-n, p.lineStart-n }
