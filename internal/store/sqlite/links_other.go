//go:build !unix

package sqlite

import "io/fs"

// links returns 1: how many names a file has cannot be told here.
func links(fs.FileInfo) uint64 { return 1 }
