package scan

import "bytes"

// magic is what compressed files, and archives of them, begin with: of gzip, xz, zstd, lz4, zip, 7z and RAR, and what git writes to be
// carried elsewhere, packs and bundles.
var magic = [][]byte{[]byte("\x1f\x8b\x08"), []byte("\xfd7zXZ\x00"), []byte("\x28\xb5\x2f\xfd"), []byte("\x04\x22\x4d\x18"),
	[]byte("PK\x03\x04"), []byte("7z\xbc\xaf\x27\x1c"), []byte("Rar!\x1a\x07"),
	[]byte("PACK\x00\x00\x00"), []byte("# v2 git bundle\n"), []byte("# v3 git bundle\n")}

// isCompressed reports whether a file that begins so is compressed. What is compressed for being looked at or listened to, as pictures
// are, is not meant.
func isCompressed(begin []byte) bool {
	for _, m := range magic {
		if bytes.HasPrefix(begin, m) {
			return true
		}
	}
	// bzip2 says in between how large its blocks are.
	level, rest := len("BZh"), len("BZh9")
	return len(begin) > rest && bytes.HasPrefix(begin, []byte("BZh")) && '1' <= begin[level] && begin[level] <= '9' &&
		bytes.HasPrefix(begin[rest:], []byte("1AY&SY"))
}
