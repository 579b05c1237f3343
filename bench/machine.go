package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	_ "modernc.org/sqlite" // under this name for database/sql
)

// machine is where figures come from.
type machine struct {
	Commit     string `json:"commit"` // with "-dirty" behind it where the source was changed
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	MemoryGB   int    `json:"memory_gb"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"` // of the databases
	Go         string `json:"go"`
	SQLite     string `json:"sqlite"`
	Wrk        string `json:"wrk,omitempty"`
	Load       string `json:"load"` // how busy the machine was before, in processors over the last minute
}

// describeMachine describes this machine; dir is where databases are.
func describeMachine(ctx context.Context, dir string) (m machine, err error) {
	m = machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	if m.CPU, err = procField("/proc/cpuinfo", "model name"); err != nil {
		return m, err
	}
	total, err := procField("/proc/meminfo", "MemTotal")
	if err != nil {
		return m, err
	}
	var kib int
	if _, err := fmt.Sscanf(total, "%d kB", &kib); err != nil {
		return m, fmt.Errorf("/proc/meminfo: %w", err)
	}
	m.MemoryGB = (kib + 1<<19) >> 20
	if m.Kernel, err = firstWord("/proc/sys/kernel/osrelease"); err != nil {
		return m, err
	}
	if m.Load, err = firstWord("/proc/loadavg"); err != nil {
		return m, err
	}
	if m.FileSystem, err = fileSystem(dir); err != nil {
		return m, err
	}
	if m.SQLite, err = sqliteVersion(ctx); err != nil {
		return m, err
	}
	root, err := repository(ctx)
	if err != nil {
		return m, err
	}
	m.Commit = commit(ctx, root)
	return m, nil
}

// procField returns the value of the first line "name: value" in a file.
func procField(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "unknown", nil // not every kind of processor has a name
}

func firstWord(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return word, nil
}

// fileSystem returns the kind of file system that a folder is on.
func fileSystem(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	return fileSystemOf(string(mounts), dir)
}

// fileSystemOf looks in /proc/self/mountinfo; see proc_pid_mountinfo(5). The last of the longest mount points counts.
func fileSystemOf(mounts, dir string) (kind string, err error) {
	longest := -1
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, behind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(behind) < 1 {
			continue
		}
		point := strings.TrimSuffix(fields[4], "/")
		if (dir == point || strings.HasPrefix(dir, point+"/")) && len(point) >= longest {
			longest, kind = len(point), behind[0]
		}
	}
	if kind == "" {
		return "", errors.New("no mount point in /proc/self/mountinfo")
	}
	return kind, nil
}

func sqliteVersion(ctx context.Context) (version string, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version)
	return version, err
}

// commit returns the commit of the source, with "-dirty" behind it where something else than the results is not
// committed; "unknown" where the source is no repository of Git.
func commit(ctx context.Context, root string) string {
	head, err := exec.CommandContext(ctx, "git", "-C", root, "rev-parse", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	changes, err := exec.CommandContext(ctx, "git", "-C", root, "status", "--porcelain", "--", ".", ":!"+document).Output()
	if err != nil || len(changes) > 0 {
		name += "-dirty"
	}
	return name
}
