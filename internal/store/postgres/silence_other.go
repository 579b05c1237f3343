//go:build !linux

package postgres

import "syscall"

// limitSilence does nothing where the kernel cannot be told: deadlines find out later.
func limitSilence(string, string, syscall.RawConn) error { return nil }
