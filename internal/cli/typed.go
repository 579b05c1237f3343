package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"
)

// inIsTerminal reports whether somebody sits at standard input.
func (s *session) inIsTerminal() bool {
	f, ok := s.In.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// typed asks for a line at the terminal that standard input is, and does not show it. Whoever interrupts the command
// gets the terminal back as it was.
func (s *session) typed(ctx context.Context, what string) (string, error) {
	terminal := int(s.In.(*os.File).Fd())
	before, err := term.GetState(terminal)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	fmt.Fprintf(s.Err, "%s: ", what)
	defer fmt.Fprintln(s.Err)
	go func() {
		line, err := term.ReadPassword(terminal)
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(terminal, before))
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("read the %s: %w", what, a.err)
		}
		return string(a.line), nil
	}
}

// password asks for a password, or takes it from the first line of a standard input that is no terminal.
func (s *session) password(ctx context.Context) (string, error) {
	if s.inIsTerminal() {
		password, err := s.typed(ctx, "Password")
		if err == nil && password == "" {
			err = errors.New("the password is empty")
		}
		return password, err
	}
	lines, err := passwordLines(s.In, 1)
	if err != nil {
		return "", UsageError(fmt.Errorf("password from standard input: %w", err))
	}
	return lines[0], nil
}

// passwordLines returns up to most lines, as they are but for what ends them: spaces may be part of a password. There is
// at least one, and the last is not empty.
func passwordLines(r io.Reader, most int) ([]string, error) {
	var lines []string
	input := bufio.NewScanner(io.LimitReader(r, maxSecret))
	for len(lines) < most && input.Scan() {
		if !utf8.Valid(input.Bytes()) { // JSON would make another text of it
			return nil, errors.New("must be valid UTF-8")
		}
		lines = append(lines, input.Text())
	}
	if err := input.Err(); err != nil {
		return nil, err
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return nil, errors.New("there is nothing in it")
	}
	return lines, nil
}
