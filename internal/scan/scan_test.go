package scan

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/apikeyd/apikeyd/internal/token"
)

// report is what a scan says.
type report struct {
	mu     sync.Mutex
	finds  []Find
	notes  []string
	faults []string
}

func (r *report) options() Options {
	return Options{
		Found: func(f Find) error { r.finds = append(r.finds, f); return nil },
		Note: func(path, why string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.notes = append(r.notes, path+" "+why)
		},
		Fault: func(path string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.faults = append(r.faults, path+": "+err.Error())
		},
	}
}

// look scans paths.
func look(t *testing.T, change func(*Options), paths ...string) *report {
	t.Helper()
	r := new(report)
	o := r.options()
	if change != nil {
		change(&o)
	}
	if err := Run(t.Context(), paths, o); err != nil {
		t.Fatal(err)
	}
	return r
}

// places returns where the finds are, relative to a folder.
func (r *report) places(folder string) (all []string) {
	for _, f := range r.finds {
		path, err := filepath.Rel(folder, f.Path)
		if err != nil {
			path = f.Path
		}
		all = append(all, fmt.Sprintf("%s:%d:%d", path, f.Line, f.Column))
	}
	return all
}

func put(t *testing.T, folder, name, content string) {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func newToken() string { return token.New("ak").Reveal() }

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	var want []string
	for i := range 300 {
		name := fmt.Sprintf("d%d/%03d.txt", i/100, i)
		put(t, folder, name, "x\n y "+newToken()+"\n"+newToken())
		want = append(want, filepath.FromSlash(name)+":2:4", filepath.FromSlash(name)+":3:1")
	}
	put(t, folder, "empty", "")
	r := look(t, nil, folder)
	if got := r.places(folder); !slices.Equal(got, want) {
		t.Errorf("%d finds, not in the order of the paths: %q", len(got), got)
	}
	if len(r.notes)+len(r.faults) > 0 {
		t.Errorf("%q %q", r.notes, r.faults)
	}

	// One file, a folder by a link, and with a slash behind it.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, folder + "/", filepath.Join(folder, "d0", "..")} {
		if n := len(look(t, nil, path).finds); n != 600 {
			t.Errorf("%s: %d finds", path, n)
		}
	}
	if got := look(t, nil, filepath.Join(folder, "d1", "100.txt"), filepath.Join(folder, "d0", "000.txt")).places(folder); !slices.Equal(got,
		[]string{"d1/100.txt:2:4", "d1/100.txt:3:1", "d0/000.txt:2:4", "d0/000.txt:3:1"}) {
		t.Errorf("files are %q", got)
	}
}

// One file with more finds than anybody holds: they are told as they come.
func TestManyFindsInOneFile(t *testing.T) {
	folder := t.TempDir()
	put(t, folder, "many", strings.Repeat(newToken()+"\n", 20000))
	put(t, folder, "n", newToken())
	if n := len(look(t, nil, folder).finds); n != 20001 {
		t.Errorf("%d finds", n)
	}
}

func TestNames(t *testing.T) {
	folder := t.TempDir()
	tok := newToken()
	put(t, folder, filepath.Join("a-"+tok, tok+".txt"), "nothing")
	r := look(t, nil, folder)
	if got := r.places(folder); len(got) != 2 || got[0] != "a-"+tok+":0:0" || got[1] != filepath.Join("a-"+tok, tok+".txt")+":0:0" {
		t.Errorf("finds %q", got)
	}
	if masked := Mask(r.finds[1].Path); strings.Contains(masked, tok) || strings.Count(masked, token.Token.Hint(r.finds[0].Token)) != 2 {
		t.Errorf("masked: %s", masked)
	}
	if text := fmt.Sprintf("%v %+v", r.finds[0].Token, r.finds[0].Token); strings.Contains(text, tok) {
		t.Errorf("printed: %s", text)
	}
}

func TestWhatIsNotRead(t *testing.T) {
	folder := t.TempDir()
	put(t, folder, "here", newToken())
	for name, target := range map[string]string{"dangling": "nowhere", "loop": ".", "out": "/"} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := look(t, nil, folder, filepath.Join(folder, "none"))
	if len(r.finds) != 1 || len(r.notes) != 4 {
		t.Errorf("finds %v, notes %q", r.finds, r.notes)
	}
	if len(r.faults) != 1 || r.faults[0] != filepath.Join(folder, "none")+": no such file or directory" {
		t.Errorf("faults %q", r.faults)
	}
}

func TestWhatMayNotBeRead(t *testing.T) {
	if os.Geteuid() == 0 {
		// Nothing is forbidden to root, but nobody can read the memory at address 0.
		if r := look(t, nil, "/proc/self/mem"); len(r.faults) != 1 || len(r.finds) > 0 {
			t.Errorf("finds %v, faults %q", r.finds, r.faults)
		}
		return
	}
	folder := t.TempDir()
	put(t, folder, "closed/file", newToken())
	put(t, folder, "secret", newToken())
	put(t, folder, "z", newToken())
	for name, mode := range map[string]os.FileMode{"closed": 0, "secret": 0} {
		path := filepath.Join(folder, name)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(path, 0o700) })
	}
	r := look(t, nil, folder)
	if len(r.finds) != 1 || len(r.faults) != 2 {
		t.Errorf("finds %v, faults %q", r.finds, r.faults)
	}
}

func TestStandardInput(t *testing.T) {
	r := look(t, func(o *Options) { o.Stdin = strings.NewReader("+key = " + newToken()) }, "-")
	if len(r.finds) != 1 || r.finds[0].Path != "-" || r.finds[0].Column != 8 {
		t.Errorf("finds %+v", r.finds)
	}
	broken := errors.New("broken")
	r = look(t, func(o *Options) { o.Stdin = io.MultiReader(strings.NewReader(newToken()), errorReader{broken}) }, "-")
	if !slices.Equal(r.faults, []string{"-: broken"}) {
		t.Errorf("faults %q", r.faults)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// A pipe that is given by name is read, as where a shell puts one in the place of a file.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(path, []byte(newToken()), 0)
	if r := look(t, nil, path); len(r.finds) != 1 {
		t.Errorf("%+v", r)
	}
}

// Whoever ends a scan does not wait for a pipe that nobody writes to.
func TestTheEnd(t *testing.T) {
	waiting, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	put(t, folder, "one", newToken())
	for _, silent := range []string{"-", pipe} {
		ctx, cancel := context.WithCancel(t.Context())
		o := new(report).options()
		o.Stdin = waiting
		o.Found = func(Find) error { cancel(); return nil }
		if err := Run(ctx, []string{folder, silent, folder}, o); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Run() = %v", silent, err)
		}
	}
	broken := errors.New("broken")
	for i := range 500 {
		put(t, folder, fmt.Sprint(i), newToken())
	}
	o := new(report).options()
	o.Found = func(Find) error { return broken }
	if err := Run(t.Context(), []string{folder}, o); err != broken {
		t.Errorf("Run() = %v", err)
	}
	// Whoever may still be opening the pipe to read is let go.
	if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
		f.Close()
	}
}

// repo is a git repository.
type repo struct {
	t      *testing.T
	folder string
}

func newRepo(t *testing.T) repo {
	r := repo{t, t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.folder, "-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_ALLOW_PROTOCOL=file")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repo) commit(message string) string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

// inHistory returns the finds of the history: "PATH:LINE:COLUMN COMMIT".
func (r *report) inHistory(folder string) (all []string) {
	places := r.places(folder)
	for i, f := range r.finds {
		if f.Repository != "" {
			all = append(all, places[i]+" "+f.Commit)
		}
	}
	slices.Sort(all)
	return all
}

func TestHistory(t *testing.T) {
	r := newRepo(t)
	gone, staged, side := newToken(), newToken(), newToken()
	put(t, r.folder, "a/config.env", "x\nKEY="+gone+"\n")
	put(t, r.folder, "other", "x")
	first := r.commit("first")
	put(t, r.folder, "a/config.env", "x\n")
	r.git("mv", "other", "copy")
	r.commit("second")
	r.git("checkout", "-q", "-b", "side")
	put(t, r.folder, "side file é", side)
	sideCommit := r.commit("side")
	r.git("checkout", "-q", "main")
	r.git("branch", "-q", "-D", "side") // the reflog of HEAD has it still
	inMessage := newToken()
	message := r.commit("with " + inMessage)
	named := newToken()
	put(t, r.folder, named+"/x", "x")
	name := r.commit("name")
	r.git("rm", "-rq", named)
	r.commit("no name")
	inTag := newToken()
	r.git("tag", "-a", "-m", "tag "+inTag, "v1")
	put(t, r.folder, "staged", staged)
	r.git("add", "-A")
	put(t, r.folder, "staged", "")

	want := []string{
		"a/config.env:2:5 " + first,
		"side file é:1:1 " + sideCommit,
		named + "/x:0:0 " + name,
		".:1:1 ", // staged: in no commit
	}
	got := look(t, nil, r.folder)
	if len(got.faults)+len(got.notes) > 0 {
		t.Errorf("%q %q", got.faults, got.notes)
	}
	for _, f := range got.finds {
		if f.Repository == "" {
			continue
		}
		switch f.Token.Hint() {
		case mustParse(inMessage).Hint():
			if f.Commit != message || !f.Message || f.Line != 6 && f.Line != 7 {
				t.Errorf("in a message: %+v", f)
			}
			want = append(want, fmt.Sprintf(".:%d:%d %s", f.Line, f.Column, message))
		case mustParse(inTag).Hint():
			if f.Commit != "" || !f.Message || f.Object != r.git("rev-parse", "v1") {
				t.Errorf("in a tag: %+v", f)
			}
			want = append(want, fmt.Sprintf(".:%d:%d ", f.Line, f.Column))
		}
	}
	slices.Sort(want)
	if found := got.inHistory(r.folder); !slices.Equal(found, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}

	// A bare clone has what branches lead to; what is packed is found alike.
	bare := filepath.Join(t.TempDir(), "bare.git")
	r.git("clone", "-q", "--bare", "file://"+r.folder, bare)
	clone := repo{t, bare}
	clone.git("repack", "-adq")
	if found := look(t, nil, bare).inHistory(bare); !slices.Contains(found, want[slices.IndexFunc(want, func(s string) bool { return strings.HasPrefix(s, "a/config") })]) || len(found) != 4 {
		t.Errorf("bare: %q", found)
	}

	// Left out, it is told.
	got = look(t, func(o *Options) { o.NoHistory = true }, r.folder)
	if len(got.inHistory(r.folder)) > 0 || len(got.notes) != 1 {
		t.Errorf("without history: %q, %q", got.inHistory(r.folder), got.notes)
	}
}

func mustParse(text string) token.Token {
	tok, ok := token.Parse([]byte(text))
	if !ok {
		panic(text)
	}
	return tok
}

// One history of several working trees is looked into once; that of a submodule, whose .git is a file, too.
func TestLinkedRepositories(t *testing.T) {
	r := newRepo(t)
	put(t, r.folder, "f", newToken())
	r.commit("one")
	put(t, r.folder, "f", "")
	r.commit("two")
	outer := t.TempDir()
	r.git("worktree", "add", "-q", filepath.Join(outer, "tree"))
	if found := look(t, nil, outer, r.folder).inHistory(outer); len(found) != 1 {
		t.Errorf("two working trees: %q", found)
	}
	if found := look(t, nil, outer).inHistory(outer); len(found) != 1 || !strings.HasPrefix(found[0], "tree/f:1:1 ") {
		t.Errorf("the other working tree: %q", found)
	}

	super := newRepo(t)
	super.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", r.folder, "sub")
	super.commit("sub")
	if found := look(t, nil, super.folder).inHistory(super.folder); len(found) != 1 {
		t.Errorf("a submodule: %q", found)
	}
	shallow := t.TempDir()
	r.git("clone", "-q", "--depth=1", "file://"+r.folder, filepath.Join(shallow, "c"))
	if got := look(t, nil, shallow); len(got.inHistory(shallow)) != 0 || len(got.notes) != 1 || !strings.Contains(got.notes[0], "shallow") {
		t.Errorf("a shallow clone: %q, %q", got.inHistory(shallow), got.notes)
	}
}

// Who has a part of a repository looked into is told that its history is not.
func TestAPartOfARepository(t *testing.T) {
	r := newRepo(t)
	put(t, r.folder, "src/deep/f", "x")
	r.commit("one")
	outer := t.TempDir()
	link := filepath.Join(outer, "link")
	if err := os.Symlink(filepath.Join(r.folder, "src"), link); err != nil {
		t.Fatal(err)
	}
	within := func(names ...string) string { return filepath.Join(append([]string{r.folder}, names...)...) }
	for path, told := range map[string]bool{
		within("src"): true, within("src", "deep"): true, within(".git", "objects"): true, within(".git", "refs"): true, link: true,
		r.folder: false, within(".git"): false, within("src", "deep", "f"): false, outer: false,
	} {
		notes := look(t, nil, path).notes
		if got := slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, path+" is a part of a git repository") }); got != told {
			t.Errorf("%s: %q", path, notes)
		}
		if notes := look(t, func(o *Options) { o.NoHistory = true }, path).notes; strings.Contains(strings.Join(notes, "\n"), "is a part") {
			t.Errorf("%s without history: %q", path, notes)
		}
	}
}

func TestRepositoriesThatCannotBeRead(t *testing.T) {
	r := newRepo(t)
	put(t, r.folder, "f", newToken())
	r.commit("one")

	t.Run("no git", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		got := look(t, nil, r.folder)
		if len(got.finds) != 1 || len(got.faults) != 1 || !strings.Contains(got.faults[0], "there is no git on this machine") {
			t.Errorf("finds %v, faults %q", got.finds, got.faults)
		}
	})
	t.Run("broken object", func(t *testing.T) {
		object := r.git("rev-parse", "HEAD:f")
		path := filepath.Join(r.folder, ".git", "objects", object[:2], object[2:])
		os.Chmod(path, 0o600)
		if err := os.WriteFile(path, []byte("no object"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := look(t, nil, r.folder); len(got.finds) != 1 || len(got.faults) != 1 {
			t.Errorf("finds %v, faults %q", got.finds, got.faults)
		}

		// Whatever else is found there is told.
		put(t, r.folder, "g", newToken())
		two := r.commit("two")
		got := look(t, nil, r.folder)
		if want := "g:1:1 " + two; len(got.faults) != 1 || !slices.Equal(got.inHistory(r.folder), []string{want}) {
			t.Errorf("finds %q, want %s; faults %q", got.inHistory(r.folder), want, got.faults)
		}
	})
	t.Run("a .git that leads nowhere", func(t *testing.T) {
		folder := t.TempDir()
		put(t, folder, ".git", "gitdir: /nonexistent/x\n")
		put(t, folder, "b/.git", "what "+newToken())
		if got := look(t, nil, folder); len(got.finds) != 1 || len(got.faults) != 2 {
			t.Errorf("finds %v, faults %q", got.finds, got.faults)
		}
	})
}

// Whoever made a tree that is looked into can neither keep the scan waiting nor fill the memory.
func TestHostileLinks(t *testing.T) {
	folder := t.TempDir()
	put(t, folder, "pipe/.git", "gitdir: ../x")
	put(t, folder, "x/here", newToken())
	if err := syscall.Mkfifo(filepath.Join(folder, "x", "commondir"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, folder, "long/.git", "")
	if err := os.Truncate(filepath.Join(folder, "long", ".git"), maxLink+1); err != nil {
		t.Fatal(err)
	}
	got := look(t, nil, folder)
	if len(got.finds) != 1 || len(got.faults) != 2 || !strings.Contains(got.faults[0]+got.faults[1], "x/commondir is no file that names a folder") {
		t.Errorf("finds %v, faults %q", got.finds, got.faults)
	}
}

// What is compressed is not unpacked, which is told, in files and in the history.
func TestCompressed(t *testing.T) {
	r := newRepo(t)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, newToken()); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	put(t, r.folder, "log.gz", packed.String())
	put(t, r.folder, "text", "BZh9 "+strings.Repeat("x", chunk+carry)+"PK\x03\x04")
	r.commit("one")
	got := look(t, nil, r.folder)
	slices.Sort(got.notes)
	want := []string{r.folder + " has a compressed file in its history, which was not unpacked",
		filepath.Join(r.folder, "log.gz") + " is compressed, and was not unpacked"}
	if !slices.Equal(got.notes, want) {
		t.Errorf("notes %q, want %q", got.notes, want)
	}
	for _, begin := range []string{"BZh91AY&SY", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18", "PK\x03\x04", "7z\xbc\xaf\x27\x1c", "Rar!\x1a\x07",
		"PACK\x00\x00\x00\x02", "# v2 git bundle\n", "# v3 git bundle\n"} {
		if !isCompressed([]byte(begin)) || isCompressed([]byte(begin[:3])) {
			t.Errorf("%q", begin)
		}
	}
}

// What a repository's configuration names is not run.
func TestNothingOfTheRepositoryIsRun(t *testing.T) {
	r := newRepo(t)
	put(t, r.folder, "f.txt", newToken())
	put(t, r.folder, ".gitattributes", "* diff=evil filter=evil")
	marker := filepath.Join(t.TempDir(), "ran")
	script := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.commit("one")
	for name, text := range map[string]string{"core.fsmonitor": script, "core.pager": script, "diff.external": script, "diff.evil.command": script,
		"diff.evil.textconv": script, "filter.evil.smudge": script, "filter.evil.clean": script, "gpg.program": script, "log.showSignature": "true",
		"core.sshCommand": script, "core.hooksPath": filepath.Dir(script), "core.alternateRefsCommand": script} {
		r.git("config", name, text)
	}
	os.Remove(marker)
	if got := look(t, nil, r.folder); len(got.inHistory(r.folder)) != 1 || len(got.faults) != 0 {
		t.Errorf("finds %v, faults %q", got.finds, got.faults)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a program of the repository was run")
	}
}

func TestMask(t *testing.T) {
	tok := newToken()
	hint := mustParse(tok).Hint()
	for text, want := range map[string]string{"": "", "abc": "abc", tok: hint, "a/" + tok + "/" + tok: "a/" + hint + "/" + hint, tok + tok: hint + hint} {
		if got := Mask(text); got != want {
			t.Errorf("Mask(%q) = %q", text, got)
		}
	}
	if bytes.Contains([]byte(Mask("x_"+tok)), []byte(tok)) {
		t.Error("a token is left")
	}
}
