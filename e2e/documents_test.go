package e2e

import (
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// document is a Markdown file of the repository.
type document struct {
	path string // from the root
	text string
}

// documents returns every Markdown file that is part of the project.
func documents(t *testing.T) (all []document) {
	t.Helper()
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		foreign := strings.HasPrefix(name, ".") || name == "build" || name == "bin" || name == "node_modules"
		if d.IsDir() && path != repository && foreign {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		from, err := filepath.Rel(repository, path)
		all = append(all, document{filepath.ToSlash(from), string(text)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("there are only %d documents", len(all))
	}
	return all
}

// fence is a block of code in a document.
type fence struct{ language, text string }

var fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

func (d document) fences() (all []fence) {
	for _, found := range fenced.FindAllStringSubmatch(d.text, -1) {
		all = append(all, fence{found[1], found[2]})
	}
	return all
}

// shell returns the blocks of shell in a document.
func (d document) shell() (all []string) {
	for _, f := range d.fences() {
		if f.language == "sh" {
			all = append(all, f.text)
		}
	}
	return all
}

// prose returns the text without code.
func (d document) prose() string {
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(fenced.ReplaceAllString(d.text, ""), "code")
}

func read(t *testing.T, path string) document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return document{path, string(text)}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks follows every link from a document to another place in the repository.
func TestLinks(t *testing.T) {
	t.Parallel()
	followed := 0
	for _, d := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(d.prose(), -1) {
			to, err := url.Parse(found[1])
			if err != nil || to.Scheme != "" {
				if err != nil {
					t.Errorf("%s: link %s: %v", d.path, found[1], err)
				}
				continue // elsewhere
			}
			followed++
			target := d.path
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(d.path), to.Path)
			}
			if err := exists(target, to.Fragment); err != nil {
				t.Errorf("%s: link %s: %v", d.path, found[1], err)
			}
		}
	}
	if followed < 20 {
		t.Errorf("only %d links were found", followed)
	}
}

// exists says why there is no such place in the repository.
func exists(path, fragment string) error {
	full := filepath.Join(repository, path)
	if _, err := os.Stat(full); err != nil {
		return err
	}
	if fragment == "" {
		return nil
	}
	text, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	if strings.HasSuffix(path, ".md") && !slices.Contains(anchors(string(text)), fragment) {
		return fmt.Errorf("%s has no heading #%s; it has %q", path, fragment, anchors(string(text)))
	}
	return nil
}

// anchors returns the names under which the headings of a document can be linked to, as code hosts make them.
func anchors(text string) (names []string) {
	for _, found := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(found[1]) {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '_', r == '-':
				b.WriteRune(r)
			case r == ' ':
				b.WriteByte('-')
			}
		}
		names = append(names, b.String())
	}
	return names
}

var makeTarget = regexp.MustCompile(`(?m)^ *make((?: +[a-z-]+)*)(?: +[A-Z]+=\S+)* *(?:#.*)?$`)

// TestCommandsInDocuments holds every call of apikeyd and of make that a document shows against the help of the program
// and against the Makefile.
func TestCommandsInDocuments(t *testing.T) {
	t.Parallel()
	all := commands(t)
	calls, targets := 0, map[string]string{}
	for _, d := range documents(t) {
		for _, block := range d.shell() {
			for _, line := range commandLines(block) {
				calls++
				if err := line.check(all); err != nil {
					t.Errorf("%s: %v", d.path, err)
				}
			}
			for _, found := range makeTarget.FindAllStringSubmatch(block, -1) {
				for _, name := range strings.Fields(found[1]) {
					targets[name] = d.path
				}
			}
		}
	}
	if calls < 20 {
		t.Errorf("only %d calls were found", calls)
	}
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		cmd := exec.CommandContext(t.Context(), "make", "--dry-run", name)
		cmd.Dir = repository
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: make %s: %v\n%s", targets[name], name, err, out)
		}
	}
	if targets["test"] == "" {
		t.Error("no document says make test")
	}
}
