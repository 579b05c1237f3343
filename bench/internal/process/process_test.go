package process

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	file := filepath.Join(t.TempDir(), "begun")
	if err := os.WriteFile(file, []byte("begun\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Start(w, os.Environ(), "tail", "-f", file) // says it, and waits
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	line := make([]byte, len("begun\n"))
	if _, err := io.ReadFull(r, line); err != nil || string(line) != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if n, err := p.Memory(); err != nil || n < 100<<10 || n > 100<<20 {
		t.Errorf("%d bytes of memory, %v", n, err)
	}
	if d, err := p.CPU(); err != nil || d < 0 || d > time.Minute {
		t.Errorf("%v of processor time, %v", d, err)
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("Stop() = %v, want the signal that ended it", err)
	}
	if _, err := p.Memory(); err == nil {
		t.Error("a process that has ended uses memory")
	}
}

func TestCPUTime(t *testing.T) {
	const line = "4242 (a ) name) S 1 4242 4242 0 -1 4194304 101 0 0 0 150 27 0 0 20 0 8 0 555 1234567 890 18446744073709551615\n"
	if d, err := cpuTime([]byte(line)); err != nil || d != 1770*time.Millisecond {
		t.Errorf("cpuTime = %v, %v, want 1.77s", d, err)
	}
	for _, bad := range []string{"", "1 (x) S", "1 (x) S 1 2 3 4 5 6 7 8 9 10 x 12 13"} {
		if d, err := cpuTime([]byte(bad)); err == nil {
			t.Errorf("cpuTime(%q) = %v", bad, d)
		}
	}
}
