package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestNewLogger(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := NewLogger(&out, JSON, level) // no Flush: a warning is simply written
	log.Debug("unseen")
	log.Warn("seen", "n", 1)
	level.Set(slog.LevelError)
	log.Warn("unseen")
	var line struct {
		Time  string
		Level string
		Msg   string
		N     int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if line.Level != "WARN" || line.Msg != "seen" || line.N != 1 || !strings.HasSuffix(line.Time, "Z") {
		t.Errorf("line = %+v", line)
	}
	if at, err := time.Parse(time.RFC3339Nano, line.Time); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("time = %s, %v", line.Time, err)
	}

	out.Reset()
	NewLogger(&out, Text, slog.LevelInfo).Info("hello world", "a", "b")
	if got := out.String(); !strings.HasSuffix(got, "Z level=INFO msg=\"hello world\" a=b\n") {
		t.Errorf("line = %s", got)
	}
}
