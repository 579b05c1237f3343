package httpapi

import (
	"encoding/base64"
	"encoding/binary"
)

// A cursor says where a page begins. It is opaque: base64url of a version and the id of the last key on the page
// before, so that it can hold something else one day.
const cursorVersion = 1

var cursorText = base64.RawURLEncoding.Strict()

func encodeCursor(last int64) string {
	return cursorText.EncodeToString(binary.BigEndian.AppendUint64([]byte{cursorVersion}, uint64(last)))
}

// decodeCursor returns false for what encodeCursor does not return.
func decodeCursor(text string) (last int64, ok bool) {
	b, err := cursorText.DecodeString(text)
	if err != nil || len(b) != 9 || b[0] != cursorVersion {
		return 0, false
	}
	last = int64(binary.BigEndian.Uint64(b[1:]))
	// The decoder passes over line breaks, so the text is compared as well.
	return last, last > 0 && encodeCursor(last) == text
}
