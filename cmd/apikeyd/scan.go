package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/apikeyd/apikeyd/api"
	"github.com/apikeyd/apikeyd/client"
	"github.com/apikeyd/apikeyd/internal/cli"
	"github.com/apikeyd/apikeyd/internal/scan"
	"github.com/apikeyd/apikeyd/internal/token"
)

func (p *program) scanCommand(streams cli.Streams) *cobra.Command {
	var (
		output    string
		prefixes  []string
		noHistory bool
		verify    bool
	)
	cmd := &cobra.Command{
		Use:   "scan PATH…|-",
		Short: "Find leaked tokens in files and git history",
		Long: `Find tokens in files, in folders with all that is in them, and in the whole history of each git repository among them.
A token is known by its form and its checksum, so what is found is one; nobody is asked, and no server is needed. "-" reads
standard input.

Every file is read, text or not. What is compressed is not unpacked, save by git, and symbolic links below a PATH are not
followed. What is left out, such as an archive, or cannot be read is told on standard error.

Each find is a line PATH:LINE:COLUMN: HINT, with the column in bytes, and in the history with the first commit that has it. The
token itself is never printed. With --verify the verification listener is asked about each, and the line says what it answers, as
"keys verify" does: NOT_FOUND, DISABLED and EXPIRED are good for nothing now, everything else is alive. Where it cannot say, finds are printed without an answer. To end a token that was found, rotate its key, or give it to "keys report".

Exit codes: 0 nothing was found and all was read; 1 it failed, or nothing was found and something could not be read; 2 wrong usage; 3
something was found.`,
		Example: `  apikeyd scan .
  apikeyd scan ~/src --no-history -o json
  apikeyd scan . --verify --verify-server http://127.0.0.1:8081
  git diff --cached | apikeyd scan -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("PATH is missing")
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "text", "print text or json, as `FORMAT`")
	f.StringArrayVar(&prefixes, "prefix", nil, "find only tokens with this `PREFIX`; may be given several times. Without it, any")
	f.BoolVar(&noHistory, "no-history", false, "leave out the history of git repositories")
	f.BoolVar(&verify, "verify", false, "ask the verification listener whether each token is good")
	cli.AddVerifierFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, paths []string) error {
		if output != "text" && output != "json" {
			return cli.UsageError(fmt.Errorf("--output: %q is none of text, json", output))
		}
		for _, prefix := range prefixes {
			if err := token.CheckPrefix(prefix); err != nil {
				return cli.UsageError(fmt.Errorf("--prefix: %w", err))
			}
		}
		s := &scanning{program: p, json: output == "json"}
		if verify {
			var err error
			if s.verifier, err = cli.ConnectVerifier(cmd, streams, os.LookupEnv); err != nil {
				return err
			}
		}
		return s.run(cmd.Context(), paths, scan.Options{Prefixes: prefixes, NoHistory: noHistory, Stdin: streams.In})
	}
	return cmd
}

// scanning is a scan, and what it prints.
type scanning struct {
	*program
	json     bool
	verifier *client.Verifier // nil: nobody is asked, or not any more
	outcomes outcomes

	mu     sync.Mutex // of what is told on standard error
	faulty bool
	notes  []*note

	waiting []scan.Find // to be asked about together
	printed int
}

func (s *scanning) run(ctx context.Context, paths []string, o scan.Options) error {
	o.Found = func(f scan.Find) error { return s.found(ctx, f) }
	o.Note = s.note
	o.Fault = func(path string, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faulty = true
		s.tell("%s: %v", path, err)
	}
	err := scan.Run(ctx, paths, o)
	s.tellNotes()
	if err == nil {
		err = s.flush(ctx)
	}
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
		return err
	case s.printed > 0: // whatever else there may be where it could not look
		return cli.ErrFound
	case s.faulty:
		return cli.ErrFaulty
	}
	return nil
}

// tell says something on standard error.
func (s *scanning) tell(format string, args ...any) {
	fmt.Fprintf(s.stderr, "apikeyd: %s\n", cli.Visible(scan.Mask(fmt.Sprintf(format, args...))))
}

// note is what was left out for one reason. There may be thousands of links in a folder of packages.
type note struct {
	why, first string
	count      int
}

func (s *scanning) note(path, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.notes, func(n *note) bool { return n.why == why })
	if i < 0 {
		i, s.notes = len(s.notes), append(s.notes, &note{why: why, first: path})
	}
	s.notes[i].count++
}

func (s *scanning) tellNotes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.notes {
		more := ""
		if n.count > 1 {
			more = fmt.Sprintf("; so it is with %d more", n.count-1)
		}
		s.tell("%s %s%s", n.first, n.why, more)
	}
}

// found takes a find.
func (s *scanning) found(ctx context.Context, f scan.Find) error {
	s.waiting = append(s.waiting, f)
	if s.verifier != nil && len(s.waiting) < api.MaxBatch {
		return nil
	}
	return s.flush(ctx)
}

// flush prints the finds that wait.
func (s *scanning) flush(ctx context.Context) error {
	if len(s.waiting) == 0 {
		return nil
	}
	if s.verifier != nil {
		if err := s.outcomes.ask(ctx, s.verifier, s.waiting); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.unverified(err)
		}
	}
	for _, f := range s.waiting {
		var outcome api.VerifyCode
		if s.verifier != nil {
			outcome = s.outcomes[f.Token]
		}
		if err := s.print(f, outcome); err != nil {
			return err
		}
	}
	s.waiting = s.waiting[:0]
	return nil
}

// unverified goes on without asking: what was found is there, whoever is away.
func (s *scanning) unverified(err error) {
	s.verifier = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	cli.PrintError(s.stderr, err)
	s.tell("what was found is listed without saying whether it is good")
}

// foundJSON is a find as JSON.
type foundJSON struct {
	Path       string         `json:"path"`
	Line       int            `json:"line,omitempty"`
	Column     int            `json:"column,omitempty"`
	KeyHint    string         `json:"key_hint"`
	Repository string         `json:"repository,omitempty"`
	Commit     string         `json:"commit,omitempty"`
	Object     string         `json:"object,omitempty"`
	Code       api.VerifyCode `json:"code,omitempty"`
}

func (s *scanning) print(f scan.Find, outcome api.VerifyCode) error {
	s.printed++
	if !s.json {
		_, err := fmt.Fprintln(s.stdout, cli.Visible(scan.Mask(line(f, outcome))))
		return err
	}
	separator := ",\n"
	if s.printed == 1 {
		separator = "[\n"
	}
	b, err := json.Marshal(foundJSON{scan.Mask(f.Path), f.Line, f.Column, f.Token.Hint(), scan.Mask(f.Repository), f.Commit, f.Object, outcome})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.stdout, "%s  %s", separator, cli.VisibleJSON(b))
	return err
}

// end ends what was printed.
func (s *scanning) end() error {
	if !s.json {
		return nil
	}
	end := "\n]\n"
	if s.printed == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(s.stdout, end)
	return err
}

// shortCommit is how much of a commit's id people read.
const shortCommit = 12

// line says in one line where a find is.
func line(f scan.Find, outcome api.VerifyCode) string {
	var about []string
	if f.Line == 0 {
		about = append(about, "in the name")
	}
	switch short := func(id string) string { return id[:min(shortCommit, len(id))] }; {
	case f.Message && f.Commit != "":
		about = append(about, "in the message of commit "+short(f.Commit))
	case f.Message:
		about = append(about, "in tag "+short(f.Object))
	case f.Commit != "":
		about = append(about, "commit "+short(f.Commit))
	case f.Object != "":
		about = append(about, "object "+short(f.Object)+", which is in no commit")
	}
	place := f.Path
	if f.Line != 0 {
		place = fmt.Sprintf("%s:%d:%d", f.Path, f.Line, f.Column)
	}
	text := place + ": " + f.Token.Hint()
	if len(about) > 0 {
		text += " (" + strings.Join(about, ", ") + ")"
	}
	if outcome != "" {
		text += " " + string(outcome)
	}
	return text
}

// outcomes are what the server has said of tokens. One token is often found many times.
type outcomes map[token.Token]api.VerifyCode

// maxOutcomes bounds how many are remembered.
const maxOutcomes = 1 << 16

// ask asks about the tokens of finds, at most api.MaxBatch, that it has not asked about before.
func (o *outcomes) ask(ctx context.Context, v *client.Verifier, finds []scan.Find) error {
	if *o == nil || len(*o) > maxOutcomes {
		*o = outcomes{}
	}
	var questions []api.VerifyRequest
	var asked []token.Token
	for _, f := range finds {
		if _, known := (*o)[f.Token]; !known {
			(*o)[f.Token] = ""
			asked, questions = append(asked, f.Token), append(questions, api.VerifyRequest{Key: f.Token.Reveal()})
		}
	}
	if len(questions) == 0 {
		return nil
	}
	answers, err := v.VerifyBatch(ctx, questions)
	if err != nil {
		return err
	}
	for i, a := range answers {
		(*o)[asked[i]] = a.Code
	}
	return nil
}
