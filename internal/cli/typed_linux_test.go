package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apikeyd/apikeyd/api"
)

// pseudoTerminal returns both ends of a terminal: what a person sees and types, and what a program has as its input.
func pseudoTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// prompts is standard error at a terminal: it tells when something was asked.
type prompts struct {
	bytes.Buffer
	asked chan string
}

func (p *prompts) Write(b []byte) (int, error) {
	if strings.HasSuffix(string(b), ": ") {
		p.asked <- string(b)
	}
	return p.Buffer.Write(b)
}

// echoes reports whether a terminal, given by its file descriptor, shows what is typed.
func echoes(t *testing.T, terminal int) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(terminal, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// TestTypedPasswords: a person is asked, and what they type is not shown.
func TestTypedPasswords(t *testing.T) {
	for _, row := range []struct {
		name    string
		answers []string
		want    api.NewPassword
		err     string
	}{
		{"another password", []string{" old one", password, password}, api.NewPassword{NewPassword: password, CurrentPassword: " old one"}, ""},
		{"a first password", []string{"", password, password}, api.NewPassword{NewPassword: password}, ""},
		{"a slip", []string{"", password, password + "x"}, api.NewPassword{}, "not the same both times"},
		{"nothing", []string{"old", "", ""}, api.NewPassword{}, "is empty"},
	} {
		t.Run(row.name, func(t *testing.T) {
			person, program := pseudoTerminal(t)
			terminal := int(program.Fd())
			stderr := &prompts{asked: make(chan string)}
			s := &session{Streams: Streams{In: program, Err: stderr}}
			go func() {
				for _, answer := range row.answers {
					<-stderr.asked
					for echoes(t, terminal) { // the question comes a moment before
					}
					if _, err := io.WriteString(person, answer+"\n"); err != nil {
						t.Error(err)
					}
				}
			}()
			got, err := s.newPassword(t.Context())
			switch {
			case row.err == "" && (err != nil || got != row.want):
				t.Errorf("got %+v, %v", got, err)
			case row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)):
				t.Errorf("got %v", err)
			}
			equal(t, "asked", stderr.String(), "Current password (none is needed after signing in with a link): \nNew password: \nNew password, again: \n")
			if !echoes(t, terminal) {
				t.Error("the terminal does not echo any more")
			}
		})
	}
}

// TestInterruptedPassword: whoever gives up in the middle has the terminal back as it was.
func TestInterruptedPassword(t *testing.T) {
	_, program := pseudoTerminal(t)
	terminal := int(program.Fd())
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &prompts{asked: make(chan string)}
	s := &session{Streams: Streams{In: program, Err: stderr}}
	go func() {
		<-stderr.asked
		for echoes(t, terminal) {
		}
		cancel()
	}()
	if _, err := s.password(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !echoes(t, terminal) {
		t.Error("the terminal does not echo any more")
	}
}
