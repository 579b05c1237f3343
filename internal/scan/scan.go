// Package scan finds tokens of API keys in files and in the history of git repositories, by their form and their checksum alone:
// it asks nobody.
//
// Files are read as they are, text or not, as a stream and several at once; memory does not grow with their size. Tokens are
// found in UTF-8, in every other encoding that writes ASCII as ASCII, and in UTF-16. What is compressed is not unpacked, save by
// git. What is not read is told: nothing is passed over in silence.
package scan

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/apikeyd/apikeyd/internal/token"
)

// Find is a token and where it is.
type Find struct {
	Token token.Token
	// Path is that of the file, or of where the file would be if the commit were checked out; "-" for standard input. It may
	// hold a token: see Mask.
	Path string
	// Line and Column say where the token begins, from 1, the column in bytes. 0: it is in the path itself.
	Line, Column int

	// Of a find in the history of a repository.
	Repository string // its path; "": it was found in a file
	Object     string // the id of the git object that it is in
	Commit     string // the first commit with it; "": none has it any more
	Message    bool   // it is in the text of a commit or a tag
}

// Options say what to look for. Where nothing else is said, a field may be left out.
type Options struct {
	Prefixes  []string  // only tokens with one of these prefixes; none: with any
	NoHistory bool      // leave out the history of repositories
	Stdin     io.Reader // what the path "-" reads; required where it is given

	// Found is told of each find, in the order of the paths. An error of it ends the scan. Required.
	Found func(Find) error
	// Note is told what is not read because it is not to be, Fault what cannot be. Both may be called by several
	// goroutines at once. Required.
	Note  func(path, why string)
	Fault func(path string, err error)
}

// Mask returns text with the hint in place of each token.
func Mask(text string) string {
	var b strings.Builder
	done := 0
	new(matcher).in([]byte(text), func(start, end int) {
		if start < done {
			return
		}
		secret, _ := token.Parse([]byte(text[start:end]))
		b.WriteString(text[done:start] + secret.Hint())
		done = end
	})
	b.WriteString(text[done:])
	return b.String()
}

// Run looks into files, folders with all that is in them, and, for the path "-", into standard input. It returns when
// everything was read, or with the error of ctx or of Found. What cannot be read is no error, but told to Fault.
func Run(ctx context.Context, paths []string, o Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Options: o, matcher: matcher{o.Prefixes}, work: make(chan *job), order: make(chan *job, queued), repositories: map[string]bool{}}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			s := newStream(r.matcher)
			for j := range r.work {
				j.run(ctx, s)
			}
		})
	}
	defer workers.Wait()
	defer cancel(nil) // first, so that they end
	go func() {
		defer close(r.order)
		defer close(r.work)
		for _, path := range paths {
			r.path(ctx, path)
		}
	}()
	for j := range r.order {
		for f := range j.finds {
			if err := o.Found(f); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// queued is how many files may wait, and how many finds of each.
const queued = 64

// run is a scan under way. Jobs are done by several workers, and their finds are told in the order of the jobs: both
// channels get them in that order, so whoever's finds are waited for has been taken by a worker.
type run struct {
	Options
	matcher      matcher
	work, order  chan *job
	repositories map[string]bool // those that are looked into; of the one goroutine that makes jobs
}

// job is one thing to read.
type job struct {
	read  func(context.Context, *stream, func(Find) error) error
	fault func(error)
	finds chan Find // closed at its end
}

// add gives a job to the workers. fault gets the error of read.
func (r *run) add(ctx context.Context, fault func(error), read func(context.Context, *stream, func(Find) error) error) {
	j := &job{read: read, fault: fault, finds: make(chan Find, queued)}
	select {
	case r.order <- j:
	case <-ctx.Done():
		return
	}
	select {
	case r.work <- j:
	case <-ctx.Done():
		close(j.finds)
	}
}

func (j *job) run(ctx context.Context, s *stream) {
	defer close(j.finds)
	err := j.read(ctx, s, func(f Find) error {
		select {
		case j.finds <- f:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		j.fault(err)
	}
}
