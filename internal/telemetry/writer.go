package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// How lines are gathered.
const (
	gatherBytes = 64 << 10               // a block of this many bytes is written without waiting for more
	gatherTime  = 100 * time.Millisecond // no line waits longer
	maxGathered = 1 << 20                // where memory is full: bytes that the destination has not taken
	maxSpare    = 16                     // empty blocks that are kept, enough for as many bytes
)

// How long anybody waits for the destination.
const (
	stallTime = time.Second     // one that takes so long over a block is not waited for any more
	maxWait   = time.Second     // of a Write or a Flush, looked at each time that a block was taken
	closeTime = 2 * time.Second // of Close
)

// ErrWriterClosed is the error of a Write after Close.
var ErrWriterClosed = errors.New("log writer is closed")

// ErrSlow is the error of a Flush and a Close that have not waited any longer.
var ErrSlow = errors.New("the destination of the log takes too long")

// Writer gathers log lines in memory and writes many of them at once, from a goroutine of its own: so a line costs
// the request that wrote it a copy, and not a system call.
//
// Lines are written when 64 KiB are gathered, 100 ms after the first of them, and on Flush and Close. Each Write MUST
// be whole lines; they come out in the order in which they came in and are never mixed with others.
//
// Whatever the destination does, memory is bounded and nobody waits for it without bound: a log that nobody takes must
// not stop the server. What becomes of a line when 1 MiB is gathered:
//
//   - Where the destination is slow, Write waits for room, because a log with holes from the busiest minutes would lack
//     what it is read for. It waits for at most about two seconds, and not at all once the destination has been busy
//     with one block for a second. Then the line is dropped and counted (Lost), and from then on lines are dropped
//     without waiting where there is no room, until half the memory is free again.
//   - Where the destination fails, lines are dropped and counted at once. Those in memory are written again 100 ms
//     later, from the byte where it failed.
//
// A process that is killed loses what was gathered, at most the last 100 ms. Flush what must not be lost.
type Writer struct {
	dst io.Writer

	mu     sync.Mutex
	moved  sync.Cond // dst took something, or failed, or stalls; or closed or abandoned has changed
	lines  []byte    // the block that lines are added to
	blocks [][]byte  // those before it, full
	head   []byte    // the one before these, which dst is taking
	taken  int       // bytes of head that it took
	spare  [][]byte  // empty ones
	due    bool      // lines are to be written before they fill a block

	gathered, written uint64 // bytes since the start
	lost              uint64 // lines

	began    time.Time   // of the write that is under way; zero: none is
	watch    *time.Timer // calls stall
	stalled  bool        // the write that is under way takes too long
	attempts uint64      // writes that have ended
	err      error       // of the last of them
	hopeless bool        // somebody has waited for room in vain, and half the memory is not free yet

	closed    bool // no line is taken any more
	abandoned bool // and none is written

	wake    chan struct{} // a block was begun
	enough  chan struct{} // there is something to write now
	closing chan struct{}
	done    chan struct{}
	close   func() error
}

// NewWriter returns a Writer to dst. Close it, or its goroutine stays.
func NewWriter(dst io.Writer) *Writer {
	w := &Writer{
		dst:     dst,
		lines:   newBlock(),
		wake:    make(chan struct{}, 1),
		enough:  make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	w.moved.L = &w.mu
	w.watch = time.AfterFunc(stallTime, w.stall)
	w.close = sync.OnceValue(w.shut)
	go w.run()
	return w
}

// newBlock returns an empty block, with room for the line that makes it full.
func newBlock() []byte { return make([]byte, 0, gatherBytes+4<<10) }

// Write gathers p, which must be whole lines. It fails after Close only; lines that are dropped are counted instead.
func (w *Writer) Write(p []byte) (int, error) {
	lines, err := w.begin(p)
	if err != nil {
		return 0, err
	}
	if lines != nil {
		w.end(append(lines, p...), false)
	}
	return len(p), nil
}

// begin returns what is gathered so far, for the caller to append whole lines to and hand to end without delay: the
// Writer is locked in between. It returns nil, and nothing is to be done, where the lines are dropped; dropped is what
// is counted then, as one line if it is nil.
func (w *Writer) begin(dropped []byte) ([]byte, error) {
	w.mu.Lock()
	if w.full() && !w.hopeless && !w.closed {
		w.await(func() bool { return !w.full() || w.err != nil || w.closed })
	}
	switch {
	case w.closed:
		w.mu.Unlock()
		return nil, ErrWriterClosed
	case w.full():
		w.hopeless = true
		w.lost += countLines(dropped)
		w.mu.Unlock()
		return nil, nil
	}
	return w.lines, nil
}

// full reports whether memory is.
func (w *Writer) full() bool { return w.gathered-w.written >= maxGathered }

// await waits for the destination until done, or until it has been waited for long enough.
func (w *Writer) await(done func() bool) {
	for began := time.Now(); !done() && !w.stalled && time.Since(began) < maxWait; {
		w.moved.Wait() // a block is taken, or stalls, within stallTime
	}
}

// end takes back what begin returned. Where now is true the lines are written as soon as may be, without waiting for
// it.
func (w *Writer) end(lines []byte, now bool) {
	before := len(w.lines)
	w.gathered += uint64(len(lines) - before)
	w.lines = lines
	w.due = w.due || now
	if len(lines) >= gatherBytes {
		w.blocks = append(w.blocks, lines)
		w.lines = w.empty()
		now = true
	}
	w.mu.Unlock()
	if before == 0 {
		signal(w.wake)
	}
	if now {
		signal(w.enough)
	}
}

// empty returns an empty block.
func (w *Writer) empty() []byte {
	last := len(w.spare) - 1
	if last < 0 {
		return newBlock()
	}
	b := w.spare[last]
	w.spare = w.spare[:last]
	return b
}

// signal leaves word for the goroutine, unless there is word already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// countLines returns how many lines p is; a part of one counts.
func countLines(p []byte) uint64 { return uint64(max(1, bytes.Count(p, []byte{'\n'}))) }

// run writes lines when it is time to.
func (w *Writer) run() {
	defer close(w.done)
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	timer.Stop()
	for {
		select {
		case <-w.wake:
			timer.Reset(gatherTime)
			continue
		case <-w.enough:
		case <-timer.C:
			w.hurry()
		case <-w.closing:
			w.writeBlocks()
			return
		}
		w.writeBlocks() // on an error it has asked to be tried again
	}
}

// hurry has lines written that do not fill a block.
func (w *Writer) hurry() {
	w.mu.Lock()
	w.due = true
	w.mu.Unlock()
}

// writeBlocks writes what is to be written now, as far as the destination takes it.
func (w *Writer) writeBlocks() {
	for {
		rest := w.next()
		if rest == nil {
			return
		}
		n, err := w.dst.Write(rest) // for all that is known here, it never returns
		if n = max(0, min(n, len(rest))); err == nil && n < len(rest) {
			err = io.ErrShortWrite
		}
		w.took(n, err)
		if err != nil {
			signal(w.wake) // try again in a while
			return
		}
	}
}

// next returns what is to be written next, and nil where nothing is. Until took is called, the destination is watched.
func (w *Writer) next() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taken == len(w.head) && !w.advance() || w.abandoned {
		return nil
	}
	w.began = time.Now()
	w.watch.Reset(stallTime)
	return w.head[w.taken:]
}

// advance makes the next block the head. It returns false where there is none that is to be written now.
func (w *Writer) advance() bool {
	if w.head != nil && len(w.spare) < maxSpare && cap(w.head) <= 2*gatherBytes { // a huge line's memory is not kept
		w.spare = append(w.spare, w.head[:0])
	}
	w.head, w.taken = nil, 0
	switch {
	case len(w.blocks) > 0:
		w.head = w.blocks[0]
		w.blocks = slices.Delete(w.blocks, 0, 1)
	case w.due:
		w.due = false
		if len(w.lines) == 0 {
			return false
		}
		w.head, w.lines = w.lines, w.empty()
	default:
		return false
	}
	return true
}

// took notes what the destination has made of a write.
func (w *Writer) took(n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch.Stop()
	w.began, w.stalled = time.Time{}, false
	w.taken += n
	w.written += uint64(n)
	w.attempts++
	if err != nil {
		err = fmt.Errorf("write log: %w", err)
	}
	w.err = err
	if w.gathered-w.written <= maxGathered/2 {
		w.hopeless = false
	}
	w.moved.Broadcast()
}

// stall is called when a write may have taken too long.
func (w *Writer) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() && time.Since(w.began) >= stallTime {
		w.stalled = true
		w.moved.Broadcast()
	}
}

// Flush writes what is gathered, and returns when it is written or the destination has failed; or with ErrSlow, after
// about two seconds, and at once where the destination has been busy with one block for a second. Lines that come in
// meanwhile may have to wait for the next time.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = true
	signal(w.enough)
	until, before := w.gathered, w.attempts
	written := func() bool { return w.written >= until }
	failed := func() bool { return w.attempts > before && w.err != nil }
	w.await(func() bool { return written() || failed() || w.abandoned })
	switch {
	case written():
		return nil
	case failed():
		return w.err
	case w.abandoned:
		return ErrWriterClosed
	default:
		return ErrSlow
	}
}

// Lost returns how many lines were dropped.
func (w *Writer) Lost() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// Close writes what is gathered and ends the Writer. Where the destination fails, or has not taken all of it after two
// seconds, the rest is lost, and the error says so; it matches ErrSlow in the second case. A second Close returns the
// same.
//
// A write that does not return cannot be interrupted: its goroutine is left behind, and ends when it does.
func (w *Writer) Close() error { return w.close() }

func (w *Writer) shut() error {
	w.mu.Lock()
	w.closed, w.due = true, true
	w.moved.Broadcast()
	w.mu.Unlock()
	close(w.closing)
	timeout := time.NewTimer(closeTime)
	defer timeout.Stop()
	select {
	case <-w.done:
	case <-timeout.C:
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	w.abandoned = true
	w.moved.Broadcast()
	if w.written == w.gathered {
		return nil
	}
	rest := append([][]byte{w.head[w.taken:]}, w.blocks...)
	lines := uint64(0)
	for _, b := range append(rest, w.lines) {
		if len(b) > 0 {
			lines += countLines(b)
		}
	}
	w.lost += lines
	err := w.err
	if err == nil || !w.began.IsZero() {
		err = ErrSlow
	}
	return fmt.Errorf("%w; %d lines are lost", err, lines)
}
