package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// findProgram returns the apikeyd to measure: the one that was named, or a release made by make build.
func (b *bench) findProgram(ctx context.Context, named string) (string, error) {
	if named != "" {
		return exec.LookPath(named)
	}
	root, err := repository(ctx)
	if err != nil {
		return "", err
	}
	b.progress("make build")
	path := filepath.Join(b.work, "apikeyd")
	out, err := exec.CommandContext(ctx, "make", "-s", "-C", root, "build", "BIN="+path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make build: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return path, nil
}

// repository returns the root of the repository.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	module := strings.TrimSpace(string(out))
	if module == "" || module == os.DevNull {
		return "", errors.New("this is to be run in the repository")
	}
	return filepath.Dir(module), nil
}
