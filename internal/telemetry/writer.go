package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// How long lines are gathered.
const (
	gatherBytes = 64 << 10               // this many bytes are written without waiting for more
	gatherTime  = 100 * time.Millisecond // no line waits longer
	// maxGathered is where no further line is gathered while others are being written; as many may be on their way.
	maxGathered = 1 << 20
)

// ErrWriterClosed is the error of a Write after Close.
var ErrWriterClosed = errors.New("log writer is closed")

// Writer gathers log lines in memory and writes many of them at once, from a goroutine of its own: so a line costs
// the request that wrote it a copy, and not a system call.
//
// Lines are written when 64 KiB are gathered, 100 ms after the first of them, and on Flush and Close. Each Write MUST
// be whole lines; they come out in the order in which they came in and are never mixed with others.
//
// What becomes of a line:
//
//   - Where the destination is slow, Flush and Close wait for it, and Write does once 1 MiB is gathered. Memory is
//     bounded, and a log with holes from the busiest minutes would lack what it is read for.
//   - Where the destination fails, the lines are kept and written again 100 ms later, from the byte where it failed.
//     Once 1 MiB is gathered, further lines are dropped and counted (Lost): a full disk must not stop the server.
//   - A process that is killed loses what was gathered, at most the last 100 ms. Flush what must not be lost.
type Writer struct {
	dst io.Writer

	// out is held while writing to dst. It guards unwritten, and is taken before mu.
	out       sync.Mutex
	unwritten []byte // the rest of lines that dst did not take, in spare's memory

	mu      sync.Mutex
	room    sync.Cond // lines were taken away, or failing or closed has changed
	lines   []byte    // gathered
	spare   []byte    // the other buffer, empty
	failing bool      // the last write to dst failed
	closed  bool
	lost    uint64

	wake    chan struct{} // lines have begun to gather
	enough  chan struct{} // they need not wait any longer
	closing chan struct{}
	done    chan struct{}
	close   func() error
}

// NewWriter returns a Writer to dst. Close it, or its goroutine stays.
func NewWriter(dst io.Writer) *Writer {
	w := &Writer{
		dst:     dst,
		lines:   make([]byte, 0, 2*gatherBytes),
		spare:   make([]byte, 0, 2*gatherBytes),
		wake:    make(chan struct{}, 1),
		enough:  make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	w.room.L = &w.mu
	w.close = sync.OnceValue(w.shut)
	go w.run()
	return w
}

// Write gathers p, which must be whole lines. It fails after Close only; lines that are dropped because the
// destination fails are counted instead.
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
	for !w.closed && len(w.lines) >= maxGathered {
		if w.failing {
			w.lost += countLines(dropped)
			w.mu.Unlock()
			return nil, nil
		}
		w.room.Wait()
	}
	if w.closed {
		w.mu.Unlock()
		return nil, ErrWriterClosed
	}
	return w.lines, nil
}

// end takes back what begin returned. Where now is true the lines are written as soon as may be, without waiting for
// it.
func (w *Writer) end(lines []byte, now bool) {
	before, after := len(w.lines), len(lines)
	w.lines = lines
	w.mu.Unlock()
	if before == 0 {
		signal(w.wake)
	}
	if now || before < gatherBytes && after >= gatherBytes {
		signal(w.enough)
	}
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
		case <-w.closing:
			return
		}
		timer.Stop()
		_ = w.Flush() // on an error it has asked to be tried again
	}
}

// Flush writes what is gathered, and returns when it is written or the destination has failed. Lines that come in
// meanwhile may have to wait for the next time.
func (w *Writer) Flush() error {
	w.out.Lock()
	defer w.out.Unlock()
	if err := w.writeRest(); err != nil {
		return err
	}
	w.mu.Lock()
	w.lines, w.spare = w.spare[:0], w.lines
	w.unwritten = w.spare
	if cap(w.lines) > 2*maxGathered { // one huge line; do not keep its memory
		w.lines = make([]byte, 0, 2*gatherBytes)
	}
	w.room.Broadcast()
	w.mu.Unlock()
	return w.writeRest()
}

// writeRest writes what is unwritten. The caller holds out.
func (w *Writer) writeRest() error {
	if len(w.unwritten) == 0 {
		return nil
	}
	n, err := w.dst.Write(w.unwritten)
	n = max(0, min(n, len(w.unwritten)))
	w.unwritten = w.unwritten[n:]
	if err == nil && len(w.unwritten) > 0 {
		err = io.ErrShortWrite
	}
	w.mu.Lock()
	w.failing = err != nil
	w.room.Broadcast()
	w.mu.Unlock()
	if err != nil {
		signal(w.wake) // try again in a while
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// Lost returns how many lines were dropped because the destination failed.
func (w *Writer) Lost() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// Close writes what is gathered and ends the Writer. It waits as long as the destination takes. Where that fails, the
// lines it did not take are lost, and the error says so; a second Close returns the same.
func (w *Writer) Close() error { return w.close() }

func (w *Writer) shut() error {
	w.mu.Lock()
	w.closed = true // from here on nothing is gathered any more
	w.room.Broadcast()
	w.mu.Unlock()
	close(w.closing)
	<-w.done
	if err := w.Flush(); err != nil {
		w.out.Lock()
		defer w.out.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		lines := countLines(w.unwritten)
		if len(w.lines) > 0 {
			lines += countLines(w.lines)
		}
		w.lost += lines
		return fmt.Errorf("%w; %d lines are lost", err, lines)
	}
	return nil
}
