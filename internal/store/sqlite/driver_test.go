package sqlite

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestLibcIsTheDriversOwn: the driver is translated from C for one version of modernc.org/libc and breaks with another
// (https://gitlab.com/cznic/sqlite/-/issues/177), which any other dependency may pull in.
func TestLibcIsTheDriversOwn(t *testing.T) {
	const driver, libc = "modernc.org/sqlite", "modernc.org/libc"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-json", driver, libc).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	type module struct{ Path, Version, GoMod string }
	modules := map[string]module{}
	for list := json.NewDecoder(strings.NewReader(string(out))); ; {
		var m module
		if err := list.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		modules[m.Path] = m
	}
	out, err = exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", modules[driver].GoMod).Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var file struct{ Require []module }
	if err := json.Unmarshal(out, &file); err != nil {
		t.Fatal(err)
	}
	for _, required := range file.Require {
		if required.Path == libc {
			if got := modules[libc].Version; got != required.Version {
				t.Errorf("%s is %s; %s %s needs exactly %s", libc, got, driver, modules[driver].Version, required.Version)
			}
			return
		}
	}
	t.Errorf("%s does not require %s", driver, libc)
}
