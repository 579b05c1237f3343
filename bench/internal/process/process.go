// Package process starts the programs that are measured, and reads what the kernel counts for them. It needs the /proc
// of Linux.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a process has to end after it was asked to; then it is killed. A server that has checked a
// million keys writes when they were last used.
const stopTimeout = 2 * time.Minute

// Process is a program that runs. Whoever starts it must stop it.
type Process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; to be read when done is closed
}

// Start starts a program with this environment; output takes what it writes to standard output and standard error.
func Start(output *os.File, env []string, path string, args ...string) (*Process, error) {
	// Without a context: at its end that would send a signal, Stop another, and a second one means not to wait.
	cmd := exec.Command(path, args...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{name: filepath.Base(path), cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to end and waits until it has. An exit code other than 0 is an error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-p.done
		return fmt.Errorf("%s did not end within %v and was killed", p.name, stopTimeout)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// Tick is the step in which the kernel counts the time of processors: USER_HZ, the same on all of Linux's usual platforms.
const Tick = time.Second / 100

// CPU returns the time that processors have spent on the process, in its own code and in the kernel, in steps of Tick.
func (p *Process) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return cpuTime(stat)
}

// cpuTime reads a line of /proc/PID/stat; see proc_pid_stat(5).
func cpuTime(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:])) // the name before it may hold anything
	const user, system = 11, 12                    // fields 14 and 15, without the two in front
	if end < 0 || len(fields) <= system {
		return 0, errors.New("cannot read the line of /proc/PID/stat")
	}
	u, err := strconv.ParseInt(fields[user], 10, 64)
	if err != nil {
		return 0, err
	}
	s, err := strconv.ParseInt(fields[system], 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(u+s) * Tick, nil
}

// Memory returns how many bytes of memory the process has in use (its resident set).
func (p *Process) Memory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return residentSet(string(status))
}

// residentSet reads /proc/PID/status; see proc_pid_status(5).
func residentSet(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/PID/status: has the process ended?")
}
