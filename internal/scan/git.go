package scan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/apikeyd/apikeyd/internal/token"
)

// repository is a git repository: where its files are, or would be, and where git keeps its objects.
type repository struct{ tree, dir string }

// isGitDir reports whether a folder is one that git keeps a repository in: a bare one, or .git.
func isGitDir(path string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.IsDir() != (name != "HEAD") {
			return false
		}
	}
	return true
}

// isRepository reports whether a folder is a repository, or a working tree of one.
func isRepository(path string) bool {
	_, err := os.Lstat(filepath.Join(path, ".git"))
	return err == nil || isGitDir(path)
}

// history makes the job for the history of a repository, unless there is one. dir is its git folder; "": the file .git says
// where that is.
func (r *run) history(ctx context.Context, tree, dir string) {
	if r.NoHistory {
		return
	}
	fault := func(err error) {
		r.fault(tree, fmt.Errorf("the history of this git repository cannot be read: %w", err))
	}
	if dir == "" {
		var err error
		if dir, err = linkedGitDir(tree); err != nil {
			fault(err)
			return
		}
	}
	// Several working trees may have one repository.
	same, err := filepath.EvalSymlinks(dir)
	if err == nil {
		same, err = filepath.Abs(same)
	}
	if err != nil {
		fault(err)
		return
	}
	if r.repositories[same] {
		return
	}
	r.repositories[same] = true
	r.add(ctx, fault, func(ctx context.Context, s *stream, found func(Find) error) error {
		h := history{repository: repository{tree, dir}, matcher: r.matcher, found: found, note: r.Note}
		h.noteGaps()
		return h.scan(ctx, s)
	})
}

// linkedGitDir reads where the repository of a working tree is whose .git is a file.
func linkedGitDir(tree string) (string, error) {
	path := func(file, prefix, base string) (string, error) {
		text, err := readLink(file)
		if err != nil {
			return "", err
		}
		path, ok := strings.CutPrefix(strings.TrimSpace(string(text)), prefix)
		if !ok {
			return "", fmt.Errorf("%s does not name it", file)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		return path, nil
	}
	dir, err := path(filepath.Join(tree, ".git"), "gitdir: ", tree)
	if err != nil || isGitDir(dir) {
		return dir, err
	}
	return path(filepath.Join(dir, "commondir"), "", dir) // it is another working tree's
}

// maxLink is how long a file may be that names a folder.
const maxLink = 16 << 10 // bytes

// readLink reads a file that names a folder. Whoever made the tree may have put anything in its place: what has no end, or never begins.
func readLink(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxLink {
		return nil, fmt.Errorf("%s is no file that names a folder", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxLink))
}

// history is a repository whose history is looked into.
type history struct {
	repository
	matcher matcher
	found   func(Find) error
	note    func(path, why string)

	pending []Find // of which it is not known yet in which commit they are
	names   bool   // there is one in a name
}

// maxPending is how many finds may be looked up in the commits at once: each time takes as long as git log.
const maxPending = 1 << 16

// noteGaps tells what of the history is not here.
func (h *history) noteGaps() {
	if _, err := os.Stat(filepath.Join(h.dir, "shallow")); err == nil {
		h.note(h.tree, "is a shallow clone: older commits are not here, and were not looked into")
	}
	if promised, _ := filepath.Glob(filepath.Join(h.dir, "objects", "pack", "*.promisor")); len(promised) > 0 {
		h.note(h.tree, "is a partial clone: what it has not fetched was not looked into")
	}
}

// scan looks into every object that the repository has, also into those that no branch leads to any more.
func (h *history) scan(ctx context.Context, s *stream) error {
	objects, err := h.start(ctx, nil, "cat-file", "--batch-all-objects", "--unordered", "--batch", "--buffer")
	if err != nil {
		return err
	}
	err = objects.end(h.read(ctx, s, objects.out))
	if located := h.locate(ctx); err == nil { // what was found counts, also where an object cannot be read
		err = located
	}
	return err
}

// read reads objects as cat-file writes them: a line "ID TYPE SIZE", the content, and a line break.
func (h *history) read(ctx context.Context, s *stream, out *bufio.Reader) error {
	var missing error
	for {
		line, err := out.ReadString('\n')
		if err == io.EOF && line == "" {
			return missing
		}
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		if len(words) == 2 && words[1] == "missing" {
			missing = fmt.Errorf("object %s is missing", words[0])
			continue
		}
		if len(words) != 3 {
			return fmt.Errorf("git says %.100q", line)
		}
		size, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return fmt.Errorf("git says %.100q", line)
		}
		content := io.LimitReader(out, size)
		n, err := s.scan(ctx, content, func(f hit) error { return h.add(ctx, words[0], words[1], f) })
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		if s.compressed {
			h.note(h.tree, "has a compressed file in its history, which was not unpacked")
		}
		if err != nil {
			return err
		}
		if _, err := out.Discard(1); err != nil {
			return err
		}
	}
}

// add takes a find in an object.
func (h *history) add(ctx context.Context, id, kind string, f hit) error {
	find := Find{Token: f.token, Path: h.tree, Line: f.line, Column: f.column, Repository: h.tree, Object: id}
	switch kind {
	case "tree":
		h.names = true // the commits say which name
		return nil
	case "commit":
		find.Commit, find.Message = id, true
	case "tag":
		find.Message = true
	default:
		h.pending = append(h.pending, find)
		if len(h.pending) < maxPending {
			return nil
		}
		return h.locate(ctx)
	}
	return h.found(find)
}

// locate finds out in which commit each pending find came into the history, and where it was, and tells of them.
func (h *history) locate(ctx context.Context) error {
	if len(h.pending) == 0 && !h.names {
		return nil
	}
	wanted := map[string][]*Find{}
	for i := range h.pending {
		f := &h.pending[i]
		wanted[f.Object] = append(wanted[f.Object], f)
	}
	walkErr := h.walk(ctx, wanted)
	for _, f := range h.pending {
		if err := h.found(f); err != nil {
			return err
		}
	}
	h.pending, h.names = h.pending[:0], false
	return walkErr
}

// walk goes through all commits, from the first on, and completes the finds that are wanted.
func (h *history) walk(ctx context.Context, wanted map[string][]*Find) error {
	commits, err := h.start(ctx, nil, "rev-list", "--all", "--reflog", "--topo-order", "--reverse")
	if err != nil {
		return err
	}
	changes, err := h.start(ctx, commits.pipe, "diff-tree", "--stdin", "--root", "-m", "-r", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff")
	if err != nil {
		return errors.Join(err, commits.end(errEnough))
	}
	commits.pipe.Close() // it is the other git's now, and ends with it
	err = h.follow(changes.out, wanted)
	if err == errEnough {
		return errors.Join(changes.end(err), commits.end(err))
	}
	return errors.Join(changes.end(err), commits.end(nil))
}

// errEnough ends a walk when everything is found.
var errEnough = errors.New("enough")

// follow reads what diff-tree writes: for each commit its id, and for each path that it changed ":MODE MODE ID ID STATUS" and
// the path, each with a zero behind it.
func (h *history) follow(out *bufio.Reader, wanted map[string][]*Find) error {
	commit, named := "", map[string]bool{}
	for len(wanted) > 0 || h.names {
		text, err := out.ReadString(0)
		if err == io.EOF && text == "" {
			return nil
		}
		if err != nil {
			return err
		}
		text = strings.TrimSuffix(text, "\x00")
		if !strings.HasPrefix(text, ":") {
			commit = text
			continue
		}
		path, err := out.ReadString(0)
		if err != nil {
			return err
		}
		path = filepath.Join(h.tree, filepath.FromSlash(strings.TrimSuffix(path, "\x00")))
		if words := strings.Fields(text); len(words) == 5 {
			for _, f := range wanted[words[3]] {
				f.Commit, f.Path = commit, path
			}
			delete(wanted, words[3])
		}
		if h.names && !named[path] {
			if err := h.name(commit, path, named); err != nil {
				return err
			}
		}
	}
	return errEnough
}

// name tells of a token in a path of the history.
func (h *history) name(commit, path string, named map[string]bool) (err error) {
	h.matcher.in([]byte(path[len(h.tree):]), func(start, end int) {
		named[path] = true
		secret, _ := token.Parse([]byte(path[len(h.tree):][start:end]))
		if err == nil {
			err = h.found(Find{Token: secret, Path: path, Repository: h.tree, Commit: commit})
		}
	})
	return err
}

// process is a git that runs.
type process struct {
	cmd    *exec.Cmd
	pipe   io.ReadCloser // its output, and
	out    *bufio.Reader // the same, for whoever reads it here
	errors *tail
	stop   context.CancelFunc
}

// start runs git on the repository. It reads objects and nothing else: it fetches nothing, and runs no program that the
// repository's configuration may name.
func (h *history) start(ctx context.Context, in io.Reader, args ...string) (*process, error) {
	ctx, stop := context.WithCancel(ctx)
	p := &process{cmd: exec.CommandContext(ctx, "git", append([]string{"--git-dir=" + h.dir, "-c", "core.fsmonitor=false"}, args...)...), errors: new(tail), stop: stop}
	p.cmd.Stdin, p.cmd.Stderr, p.cmd.Env, p.cmd.WaitDelay = in, p.errors, environment(), time.Second
	var err error
	if p.pipe, err = p.cmd.StdoutPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		stop()
		if errors.Is(err, exec.ErrNotFound) {
			err = errors.New("there is no git on this machine")
		}
		return nil, err
	}
	p.out = bufio.NewReaderSize(p.pipe, 64<<10)
	return p, nil
}

// end waits for git to end, after its output was read with err, and returns what went wrong.
func (p *process) end(err error) error {
	if err != nil {
		p.stop() // it may wait for somebody to read on
	}
	waited := p.cmd.Wait()
	p.stop()
	switch {
	case err == errEnough:
		return nil
	case err != nil:
		return err
	case waited != nil:
		return fmt.Errorf("git %s: %w: %s", p.cmd.Args[4], waited, p.errors)
	}
	return nil
}

// environment is that of git: nothing that is meant for another repository, as in a hook.
func environment() []string {
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") {
			kept = append(kept, v)
		}
	}
	return append(kept, "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0",
		"GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

const maxTail = 1 << 10 // bytes

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(p), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.b)) }
