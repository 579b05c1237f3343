package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a destination that can be made to block, to fail and to take a part.
type sink struct {
	mu     sync.Mutex
	data   bytes.Buffer
	writes int
	err    error // what Write returns
	take   int   // how many bytes it takes before it fails
	gate   chan struct{}
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		n := min(s.take, len(p))
		s.data.Write(p[:n])
		return n, s.err
	}
	return s.data.Write(p)
}

func (s *sink) fail(err error, take int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.take = err, take
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.String()
}

var errDisk = errors.New("disk full")

func TestLinesWaitAtMost100Milliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w := NewWriter(&out)
		defer w.Close()
		for range 3 { // the timer starts anew each time
			time.Sleep(time.Hour)
			had := len(out.String())
			fmt.Fprintln(w, "first")
			time.Sleep(60 * time.Millisecond)
			fmt.Fprintln(w, "second")
			time.Sleep(39 * time.Millisecond)
			if got := out.String()[had:]; got != "" {
				t.Fatalf("written before its time: %q", got)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if got := out.String()[had:]; got != "first\nsecond\n" {
				t.Fatalf("after 100 ms: %q", got)
			}
		}
		if out.writes != 3 {
			t.Errorf("%d writes", out.writes)
		}
	})
}

func TestMuchIsWrittenWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w := NewWriter(&out)
		defer w.Close()
		line := strings.Repeat("x", 1023) + "\n"
		for range 63 {
			io.WriteString(w, line)
		}
		synctest.Wait()
		if got := out.String(); got != "" {
			t.Fatalf("%d bytes are written", len(got))
		}
		io.WriteString(w, line)
		synctest.Wait() // no time passes
		if got := out.String(); len(got) != 64<<10 || out.writes != 1 {
			t.Errorf("%d bytes in %d writes", len(got), out.writes)
		}
	})
}

func TestWarningsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w := NewWriter(&out)
		defer w.Close()
		log := NewLogger(w, Text, slog.LevelInfo)
		log.Info("one")
		log.Debug("not at all")
		if got := out.String(); got != "" {
			t.Fatalf("written: %q", got)
		}
		log.With("a", 1).WithGroup("g").Warn("two", "b", 2) // is out when the call returns
		if got := out.String(); strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, "level=WARN msg=two a=1 g.b=2\n") {
			t.Fatalf("written: %q", got)
		}
		requests := NewRequestLog(w, Text, slog.LevelInfo)
		r := usual()
		requests.Log(&r)
		synctest.Wait()
		if got := out.String(); strings.Count(got, "\n") != 2 {
			t.Fatalf("written: %q", got)
		}
		r.Level = slog.LevelError
		requests.Log(&r)
		synctest.Wait() // no time passes
		if got := out.String(); strings.Count(got, "\n") != 4 {
			t.Errorf("written: %q", got)
		}
	})
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, lines = 8, 3000
		var out sink
		w := NewWriter(&out)
		var wg sync.WaitGroup
		for id := range writers {
			wg.Go(func() {
				for n := range lines {
					if _, err := fmt.Fprintf(w, "%d %d %s\n", id, n, strings.Repeat("x", n%400)); err != nil {
						t.Error(err)
					}
					if n%1000 == 0 {
						if err := w.Flush(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var next [writers]int
		for line := range strings.Lines(out.String()) {
			var id, n int
			var rest string
			if _, err := fmt.Sscan(line, &id, &n); err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			if _, rest, _ = strings.Cut(strings.TrimSuffix(line, "\n"), fmt.Sprintf("%d %d ", id, n)); rest != strings.Repeat("x", n%400) {
				t.Fatalf("line %q is not whole", line)
			}
			if n != next[id] {
				t.Fatalf("line %d of %d comes after %d", n, id, next[id]-1)
			}
			next[id]++
		}
		for id, n := range next {
			if n != lines {
				t.Errorf("writer %d: %d lines", id, n)
			}
		}
		if w.Lost() != 0 {
			t.Errorf("%d lines lost", w.Lost())
		}
	})
}

// kilobyte is a line.
var kilobyte = strings.Repeat("x", 1023) + "\n"

// blocked returns a Writer whose memory is full, because its destination takes nothing until the gate is closed, and how
// many lines were given to it.
func blocked(t *testing.T, out *sink) (w *Writer, lines int) {
	t.Helper()
	out.gate = make(chan struct{})
	w = NewWriter(out)
	for w.Lost() == 0 {
		if lines++; lines > 2*maxGathered/len(kilobyte) {
			t.Fatal("no line is dropped, and memory has no end")
		}
		io.WriteString(w, kilobyte)
	}
	return w, lines
}

// TestABlockedDestinationStopsNobody: one Write waits a while, no other does, and memory is bounded. What is in memory is
// written when the destination takes it, and what comes then is as well.
func TestABlockedDestinationStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		began := time.Now()
		w, lines := blocked(t, &out)
		if waited := time.Since(began); waited != stallTime {
			t.Errorf("a Write has waited for %v", waited)
		}
		if kept := (lines - 1) * len(kilobyte); kept != maxGathered {
			t.Errorf("%d bytes are in memory", kept)
		}
		requests := NewRequestLog(w, JSON, slog.LevelInfo)
		for r := usual(); lines < 5000; lines += 2 {
			requests.Log(&r)
			io.WriteString(w, kilobyte)
		}
		if err := w.Flush(); !errors.Is(err, ErrSlow) {
			t.Errorf("Flush = %v", err)
		}
		if waited := time.Since(began); waited != stallTime {
			t.Errorf("others have waited for %v", waited-stallTime)
		}
		lost := int(w.Lost())
		if lost != lines-maxGathered/len(kilobyte) {
			t.Errorf("of %d lines %d are lost", lines, lost)
		}

		close(out.gate)
		synctest.Wait()
		fmt.Fprintln(w, "after it")
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		if got := out.String(); len(got) != maxGathered+len("after it\n") || !strings.HasSuffix(got, "x\nafter it\n") {
			t.Errorf("%d bytes are written", len(got))
		}
		if err := w.Close(); err != nil || int(w.Lost()) != lost {
			t.Errorf("Close = %v, %d lines lost", err, w.Lost())
		}
	})
}

// TestWarningsWaitForABlockedDestinationOnce and then no more.
func TestWarningsWaitForABlockedDestinationOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := sink{gate: make(chan struct{})}
		w := NewWriter(&out)
		log := NewLogger(w, Text, slog.LevelInfo)
		began := time.Now()
		for range 10 {
			log.Warn("nobody reads this")
		}
		if waited := time.Since(began); waited != stallTime {
			t.Errorf("ten warnings have waited for %v", waited)
		}
		close(out.gate)
		if err := w.Close(); err != nil || strings.Count(out.String(), "\n") != 10 || w.Lost() != 0 {
			t.Errorf("Close = %v, written %q, %d lines lost", err, out.String(), w.Lost())
		}
	})
}

// slowSink takes a while for each write.
type slowSink struct {
	sink
	takes time.Duration
}

func (s *slowSink) Write(p []byte) (int, error) {
	time.Sleep(s.takes)
	return s.sink.Write(p)
}

// TestASlowDestinationGetsAllLines where it takes a block now and then: Write waits for it.
func TestASlowDestinationGetsAllLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := slowSink{takes: stallTime / 2}
		w := NewWriter(&out)
		const writers, lines = 8, 600
		var busy sync.WaitGroup
		for range writers {
			busy.Go(func() {
				for range lines {
					time.Sleep(time.Millisecond) // whoever writes a line has something else to do, too
					io.WriteString(w, kilobyte)
				}
			})
		}
		busy.Wait()
		if err := w.Flush(); !errors.Is(err, ErrSlow) { // all that is in memory takes longer
			t.Errorf("Flush = %v", err)
		}
		time.Sleep(time.Minute)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Count(out.String(), kilobyte); got != writers*lines || w.Lost() != 0 {
			t.Errorf("%d lines written, %d lost", got, w.Lost())
		}
	})
}

// TestNobodyWaitsLong where the destination goes on taking, but is much too slow for the lines that come: each waits for
// about two seconds at most, and the server as a whole does not wait again and again.
func TestNobodyWaitsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := slowSink{takes: stallTime * 9 / 10}
		w := NewWriter(&out)
		const writers = 200 // more than a block has lines
		const minutes = 2
		var waited, given atomic.Int64
		var busy sync.WaitGroup
		end := time.Now().Add(minutes * time.Minute)
		for range writers {
			busy.Go(func() {
				for time.Now().Before(end) {
					began := time.Now()
					io.WriteString(w, kilobyte)
					if took := time.Since(began); took > maxWait+stallTime {
						t.Errorf("a Write took %v", took)
					} else if took > 0 {
						waited.Add(int64(took))
					}
					given.Add(1)
					time.Sleep(200 * time.Millisecond)
				}
			})
		}
		busy.Wait()
		if each := time.Duration(waited.Load() / writers); each > maxWait+stallTime {
			t.Errorf("in %d minutes everybody has waited for %v", minutes, each)
		}
		time.Sleep(time.Minute)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		written, lost := strings.Count(out.String(), kilobyte), int(w.Lost())
		if written+lost != int(given.Load()) || lost == 0 {
			t.Errorf("of %d lines %d are written and %d lost", given.Load(), written, lost)
		}
		if least := minutes * 60 * gatherBytes / len(kilobyte); written < least {
			t.Errorf("%d lines are written; the destination could take more than %d", written, least)
		}
	})
}

// TestCloseIsBounded: it gives up a destination that takes nothing, says how much is lost, and leaves nothing behind that
// writes later.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w, lines := blocked(t, &out)
		began := time.Now()
		err := w.Close()
		if waited := time.Since(began); waited != closeTime {
			t.Errorf("Close has waited for %v", waited)
		}
		want := fmt.Sprintf("%d lines are lost", lines-1) // one was dropped before
		if !errors.Is(err, ErrSlow) || !strings.Contains(err.Error(), want) || int(w.Lost()) != lines {
			t.Errorf("Close = %v, %d of %d lines lost", err, w.Lost(), lines)
		}
		if again := w.Close(); again != err {
			t.Errorf("second Close = %v", again)
		}
		if err := w.Flush(); !errors.Is(err, ErrWriterClosed) {
			t.Errorf("Flush = %v", err)
		}
		close(out.gate)
		synctest.Wait()
		if out.writes != 1 {
			t.Errorf("%d writes; the one that was under way is all there should be", out.writes)
		}
	})
}

// TestALineLargerThanTheBound is written whole all the same, and its memory is not kept.
func TestALineLargerThanTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w := NewWriter(&out)
		huge := strings.Repeat("x", 3*maxGathered) + "\n"
		for _, line := range []string{"a\n", huge, "b\n", "c\n"} {
			io.WriteString(w, line)
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range append(w.spare, w.lines) {
			if cap(b) > 2*gatherBytes {
				t.Errorf("%d bytes of memory are kept", cap(b))
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != "a\n"+huge+"b\nc\n" {
			t.Error("lines are not whole")
		}
	})
}

// TestAFailureThatPassesLosesNothing: the destination takes half a line, then nothing, then everything.
func TestAFailureThatPassesLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w := NewWriter(&out)
		out.fail(errDisk, 5)
		fmt.Fprintln(w, "first line")
		if err := w.Flush(); !errors.Is(err, errDisk) {
			t.Errorf("Flush = %v", err)
		}
		out.fail(errDisk, 0)
		fmt.Fprintln(w, "second line")
		time.Sleep(time.Second) // a few attempts of its own
		if got := out.String(); got != "first" {
			t.Fatalf("written: %q", got)
		}
		out.fail(nil, 0)
		fmt.Fprintln(w, "third line")
		time.Sleep(101 * time.Millisecond) // nobody flushes
		synctest.Wait()
		if got := out.String(); got != "first line\nsecond line\nthird line\n" {
			t.Errorf("written: %q", got)
		}
		if err := w.Close(); err != nil || w.Lost() != 0 {
			t.Errorf("Close = %v, %d lines lost", err, w.Lost())
		}
	})
}

// TestAShortWriteIsAFailure even of a destination that returns no error with it.
func TestAShortWriteIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out shortSink
		w := NewWriter(&out)
		fmt.Fprintln(w, "a line")
		if err := w.Flush(); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("Flush = %v", err)
		}
		for range 10 {
			_ = w.Flush()
		}
		if err := w.Close(); err != nil || out.String() != "a line\n" {
			t.Errorf("Close = %v, written %q", err, out.String())
		}
	})
}

type shortSink struct{ bytes.Buffer }

func (s *shortSink) Write(p []byte) (int, error) { return s.Buffer.Write(p[:1]) }

// TestAFailureThatStaysStopsNobody: lines are dropped and counted once memory is full, and the rest is written when
// the destination is well again.
func TestAFailureThatStaysStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w := NewWriter(&out)
		out.fail(errDisk, 0)
		line := strings.Repeat("x", 1023) + "\n"
		const total = 5000
		for range total {
			io.WriteString(w, line)
			if w.Lost() == 0 {
				synctest.Wait() // let it find out
			}
		}
		lost := w.Lost()
		if lost == 0 || lost > total-maxGathered/1024 {
			t.Errorf("%d of %d lines lost", lost, total)
		}
		requests := NewRequestLog(w, JSON, slog.LevelInfo)
		r := usual()
		requests.Log(&r)
		if got := w.Lost(); got != lost+1 {
			t.Errorf("%d lines lost after another", got)
		}
		out.fail(nil, 0)
		time.Sleep(time.Second)
		io.WriteString(w, line)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(out.String(), line), total+1-int(lost); got != want || len(out.String()) != want*1024 {
			t.Errorf("%d lines written, want %d", got, want)
		}
	})
}

func TestCloseSaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		w := NewWriter(&out)
		out.fail(errDisk, 3)
		fmt.Fprint(w, "one\ntwo\n")
		if err := w.Flush(); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		fmt.Fprint(w, "three\n")
		out.fail(errDisk, 0)
		err := w.Close()
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "3 lines are lost") || w.Lost() != 3 {
			t.Errorf("Close = %v, %d lost", err, w.Lost())
		}
		if again := w.Close(); again != err {
			t.Errorf("second Close = %v", again)
		}
		if _, err := fmt.Fprintln(w, "late"); !errors.Is(err, ErrWriterClosed) {
			t.Errorf("Write after Close = %v", err)
		}
	})
}

// TestCloseLosesNoLineThatWasTaken while others go on writing.
func TestCloseLosesNoLineThatWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			var out sink
			w := NewWriter(&out)
			var taken atomic.Int64
			var wg sync.WaitGroup
			started := make(chan struct{}, 4)
			for range 4 {
				wg.Go(func() {
					for n := 0; ; n++ {
						if _, err := io.WriteString(w, "line\n"); err != nil {
							return
						}
						taken.Add(1)
						if n == 10 {
							started <- struct{}{}
						}
					}
				})
			}
			<-started
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			if got := int64(strings.Count(out.String(), "line\n")); got != taken.Load() {
				t.Fatalf("%d lines written, %d taken", got, taken.Load())
			}
		}
	})
}

func TestCloseReleasesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := sink{gate: make(chan struct{})}
		w := NewWriter(&out)
		var failed atomic.Int64
		for range 3 {
			go func() {
				for {
					if _, err := io.WriteString(w, strings.Repeat("x", 1023)+"\n"); err != nil {
						failed.Add(1)
						return
					}
				}
			}()
		}
		synctest.Wait() // all wait
		closed := make(chan error)
		go func() { closed <- w.Close() }()
		synctest.Wait()
		if failed.Load() != 3 {
			t.Errorf("%d of 3 were released", failed.Load())
		}
		close(out.gate)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}
