package wrk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Find makes sure that wrk is there, and returns its version. Where it is missing it is installed from Debian's
// packages, if this process may.
func Find(ctx context.Context) (version string, err error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		if err := install(ctx); err != nil {
			return "", err
		}
	}
	// It shows its version and then its usage, and exits with 1.
	out, err := exec.CommandContext(ctx, "wrk", "--version").CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return "", err
	}
	first, _, _ := strings.Cut(string(out), "\n")
	if words := strings.Fields(first); len(words) > 1 && words[0] == "wrk" {
		return words[1], nil
	}
	return "", fmt.Errorf("wrk --version says %q", first)
}

func install(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return errors.New("the load tool wrk is missing: install it (Debian: apt-get install wrk), or measure only what needs none")
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", "wrk"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("install wrk: apt-get %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
