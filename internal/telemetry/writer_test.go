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
}

// TestABlockedDestinationBlocks and neither drops a line nor lets memory grow.
func TestABlockedDestinationBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := sink{gate: make(chan struct{})}
		w := NewWriter(&out)
		line := strings.Repeat("x", 1023) + "\n"
		const total = 5000 // 5 MB
		var written atomic.Int64
		go func() {
			for range total {
				io.WriteString(w, line)
				written.Add(1)
			}
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := written.Load() * 1024; n < maxGathered || n > 2*maxGathered {
			t.Errorf("%d bytes are in memory", n)
		}
		close(out.gate)
		synctest.Wait()
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := len(out.String()); got != total*1024 || w.Lost() != 0 {
			t.Errorf("%d bytes written, %d lines lost", got, w.Lost())
		}
	})
}

// TestALineLargerThanTheBound is written whole all the same, and its memory is not kept.
func TestALineLargerThanTheBound(t *testing.T) {
	var out sink
	w := NewWriter(&out)
	huge := strings.Repeat("x", 3*maxGathered) + "\n"
	for _, line := range []string{"a\n", huge, "b\n", "c\n"} {
		io.WriteString(w, line)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if cap(w.lines) > 2*maxGathered || cap(w.spare) > 2*maxGathered {
		t.Errorf("%d and %d bytes of memory are kept", cap(w.lines), cap(w.spare))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "a\n"+huge+"b\nc\n" {
		t.Error("lines are not whole")
	}
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
}

// TestCloseLosesNoLineThatWasTaken while others go on writing.
func TestCloseLosesNoLineThatWasTaken(t *testing.T) {
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
