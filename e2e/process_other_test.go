//go:build !linux

package e2e

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Elsewhere a program that is left behind by a test that panics is not killed, and nobody looks for one.

func dieWithTest(*exec.Cmd) {}

func running(string) []int { return nil }

// freeze stops a process; there is no saying when its last thread has stopped.
func freeze(_ testing.TB, p *process) {
	p.signal(syscall.SIGSTOP)
	time.Sleep(100 * time.Millisecond)
}
