package main

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/apikeyd/apikeyd/bench/internal/keyfile"
)

// worthKeeping is the number of keys from which on a file is kept for the next run. Smaller ones are made within seconds.
const worthKeeping = 1_000_000

// largeFile returns the path of the large file, made where it is not there yet. It is read once, so that it is in the
// memory of the operating system for all who measure with it.
func (b *bench) largeFile(ctx context.Context) (_ string, err error) {
	dir := b.dir
	if b.size.Keys < worthKeeping {
		dir = b.work
	}
	path, err := keyfile.Kept(ctx, dir, b.size.Keys, b.progress)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(io.Discard, f)
	return path, err
}

// smallFile makes a small file of its own for whoever asks.
func (b *bench) smallFile(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp(b.work, "small-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "keys.db")
	return path, keyfile.Make(ctx, path, b.size.Few)
}

// bareReader and bareWriter open a database file with the driver alone, and with what internal/store/sqlite sets on
// connections that read and on the one that writes: the floor waits for the disk as the product does.
func bareReader(path string) (*sql.DB, error) {
	return keyfile.Open(path, "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)", "query_only(ON)", "cache_size(-2048)")
}

func bareWriter(path string) (*sql.DB, error) {
	return keyfile.Open(path, "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)", "cache_size(-8192)",
		"journal_mode(WAL)", "journal_size_limit(67108864)")
}
