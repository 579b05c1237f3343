package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apikeyd/apikeyd/internal/token"
)

// path makes the jobs for one of the paths that were given.
func (r *run) path(ctx context.Context, path string) {
	if path == "-" {
		r.file(ctx, path, func() (io.ReadCloser, error) { return io.NopCloser(interruptible(ctx, r.Stdin)), nil })
		return
	}
	info, err := os.Stat(path) // a link that is given is followed
	switch {
	case err != nil:
		r.fault(path, err)
	case info.IsDir():
		r.noteAround(path)
		r.folder(ctx, path)
	default:
		r.open(ctx, path, info.Mode())
	}
}

// noteAround tells where a folder is a part of a repository: the history is looked into of those alone that are given as a whole.
func (r *run) noteAround(path string) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil || r.NoHistory || isRepository(real) {
		return
	}
	for dir := filepath.Dir(real); dir != real; real, dir = dir, filepath.Dir(dir) {
		if isRepository(dir) {
			r.Note(path, "is a part of a git repository, whose history is looked into where the whole of it is given")
			return
		}
	}
}

// folder makes the jobs for a folder and everything below it.
func (r *run) folder(ctx context.Context, root string) {
	// With the separator a link to a folder is walked, too.
	err := filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		if err != nil {
			r.fault(path, err)
			return nil // its neighbours may be readable
		}
		path = filepath.Clean(path)
		if path != filepath.Clean(root) {
			r.name(ctx, path, d.Name())
		}
		switch {
		case d.IsDir():
			return r.enter(ctx, path)
		case d.Type()&fs.ModeSymlink != 0:
			r.Note(path, "is a symbolic link, which is not followed")
		case d.Type() != 0:
			r.Note(path, "is no file but a "+kindOf(d.Type()))
		default:
			if d.Name() == ".git" { // of a submodule or another worktree: the repository is elsewhere
				r.history(ctx, filepath.Dir(path), "")
			}
			r.open(ctx, path, 0)
		}
		return nil
	})
	if err != nil {
		r.fault(root, err)
	}
}

// enter decides about a folder that the walk comes to.
func (r *run) enter(ctx context.Context, path string) error {
	switch {
	case filepath.Base(path) == "objects" && isGitDir(filepath.Dir(path)):
		// What is in there is compressed, and git reads it.
		if r.NoHistory {
			r.Note(path, "is the history of a git repository, which is left out")
		}
		return fs.SkipDir
	case isGitDir(path):
		tree := path
		if filepath.Base(path) == ".git" {
			tree = filepath.Dir(path)
		}
		r.history(ctx, tree, path)
	}
	return nil
}

// kindOf says in a word what is no file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	default:
		return "device"
	}
}

// name looks for a token in the name of a file or a folder.
func (r *run) name(ctx context.Context, path, name string) {
	r.matcher.in([]byte(name), func(start, end int) {
		secret, _ := token.Parse([]byte(name[start:end]))
		r.add(ctx, nil, func(_ context.Context, _ *stream, found func(Find) error) error {
			return found(Find{Token: secret, Path: path})
		})
	})
}

// open makes the job for a file, or for what else was given by name and can be read like one.
func (r *run) open(ctx context.Context, path string, mode fs.FileMode) {
	r.file(ctx, path, func() (io.ReadCloser, error) {
		if mode.IsRegular() {
			return os.Open(path)
		}
		return openPipe(ctx, path)
	})
}

// file makes the job for a stream.
func (r *run) file(ctx context.Context, path string, open func() (io.ReadCloser, error)) {
	r.add(ctx, func(err error) { r.fault(path, err) }, func(ctx context.Context, s *stream, found func(Find) error) error {
		f, err := open()
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = s.scan(ctx, f, func(h hit) error {
			return found(Find{Token: h.token, Path: path, Line: h.line, Column: h.column})
		})
		if s.compressed {
			r.Note(path, "is compressed, and was not unpacked")
		}
		return err
	})
}

// fault tells of what could not be read. The error says the path again, which is cut off.
func (r *run) fault(path string, err error) {
	if about, ok := errors.AsType[*fs.PathError](err); ok && strings.HasPrefix(filepath.Clean(about.Path), filepath.Clean(path)) {
		err = about.Err
	}
	r.Fault(path, err)
}

// openPipe opens what may keep whoever opens it waiting.
func openPipe(ctx context.Context, path string) (io.ReadCloser, error) {
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.Open(path)
		done <- opened{f, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, o.err
		}
		return struct {
			io.Reader
			io.Closer
		}{interruptible(ctx, o.f), o.f}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// interruptible returns a reader that no longer waits for r once ctx has ended. What r gives afterwards is lost.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	return &interruptibleReader{ctx: ctx, from: r, buffer: make([]byte, 64<<10), reads: make(chan read, 1)}
}

type interruptibleReader struct {
	ctx    context.Context
	from   io.Reader
	buffer []byte // of the read under way, and then of what is left of it
	left   []byte
	err    error // that came with what is left
	reads  chan read
}

type read struct {
	n   int
	err error
}

// Read reads.
func (r *interruptibleReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 && r.err == nil {
		go func() {
			n, err := r.from.Read(r.buffer)
			r.reads <- read{n, err}
		}()
		select {
		case got := <-r.reads:
			r.left, r.err = r.buffer[:got.n], got.err
		case <-r.ctx.Done():
			r.err = fmt.Errorf("gave up waiting: %w", r.ctx.Err()) // for good: the buffer is no longer ours
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}
