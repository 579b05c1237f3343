package key

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

const (
	// MaxMetadata is how long metadata may be, in bytes, as sent and as kept.
	MaxMetadata = 4096

	// MaxMetadataDepth is how deep objects and arrays may be nested in metadata, the outermost object included. Every
	// answer that holds the key holds its metadata, and many JSON parsers give up on what is nested deeper than
	// they expect: one key must not make the answer about a thousand of them unreadable.
	MaxMetadataDepth = 32
)

// checkMetadata returns metadata as it is kept: without insignificant white space, and nil for an empty object.
func checkMetadata(m []byte, faults []Fault) ([]byte, []Fault) {
	if m == nil {
		return nil, faults
	}
	if detail := metadataFault(m); detail != "" {
		return nil, append(faults, Fault{"/metadata", detail})
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, m); err != nil || compact.Bytes()[0] != '{' {
		return nil, append(faults, Fault{"/metadata", "must be a JSON object"})
	}
	if compact.Len() == len(`{}`) {
		return nil, faults
	}
	return slices.Clone(compact.Bytes()), faults
}

// patchMetadata applies a JSON merge patch. The patch itself is held to the limits first: to merge costs time that
// rises with the square of the depth.
func patchMetadata(object, patch []byte, faults []Fault) ([]byte, []Fault) {
	if detail := metadataFault(patch); detail != "" {
		return nil, append(faults, Fault{"/metadata", detail})
	}
	merged, err := mergePatch(object, patch)
	if err != nil {
		return nil, append(faults, Fault{"/metadata", "must be a JSON object"})
	}
	return checkMetadata(merged, faults)
}

// metadataFault says which limit m exceeds, "" for none. Whether m is a JSON object is not its affair.
func metadataFault(m []byte) string {
	if len(m) > MaxMetadata {
		return fmt.Sprintf("must be at most %d bytes long, not %d", MaxMetadata, len(m))
	}
	depth, fits := measure(m)
	switch {
	case depth > MaxMetadataDepth:
		return fmt.Sprintf("must be nested at most %d levels deep", MaxMetadataDepth)
	case !fits:
		return fmt.Sprintf("must hold no number beyond ±%.2g, which is where common parsers end", math.MaxFloat64)
	}
	return ""
}

// measure returns how deep the objects and arrays of a JSON value are nested, and whether every number in it fits into
// a float64, which is what most parsers make of one (RFC 8259, section 6).
func measure(value []byte) (deepest int, fits bool) {
	depth, fits := 0, true
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			i = endOfString(value, i)
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(value) && bytes.IndexByte([]byte("0123456789+-.eE"), value[end]) >= 0 {
				end++
			}
			if _, err := strconv.ParseFloat(string(value[i:end]), 64); errors.Is(err, strconv.ErrRange) {
				fits = false
			}
			i = end - 1
		}
	}
	return deepest, fits
}

// endOfString returns where the string that begins at i ends: at its closing quote.
func endOfString(value []byte, i int) int {
	for i++; i < len(value) && value[i] != '"'; i++ {
		if value[i] == '\\' {
			i++ // whatever is escaped does not end the string
		}
	}
	return i
}

// mergePatch applies a JSON merge patch (RFC 7396) to a JSON object; nil stands for {}. Numbers and strings that the
// patch does not touch keep their spelling, and what it leaves keeps the order of a sorted object.
func mergePatch(object, patch []byte) ([]byte, error) {
	if bytes.Equal(bytes.TrimSpace(patch), []byte("null")) {
		return nil, nil
	}
	var changes map[string]json.RawMessage
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, err
	}
	return mergeObject(object, changes)
}

func mergeObject(object []byte, changes map[string]json.RawMessage) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if object != nil {
		if err := json.Unmarshal(object, &members); err != nil {
			return nil, err
		}
	}
	for name, change := range changes {
		switch kind(change) {
		case 'n':
			delete(members, name)
		case '{':
			var inner map[string]json.RawMessage
			if err := json.Unmarshal(change, &inner); err != nil {
				return nil, err
			}
			// What is no object is replaced as if it had been empty (RFC 7396, section 2).
			var old []byte
			if kind(members[name]) == '{' {
				old = members[name]
			}
			merged, err := mergeObject(old, inner)
			if err != nil {
				return nil, err
			}
			members[name] = merged
		case 0:
			return nil, errors.New("empty value")
		default:
			members[name] = change
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // "as sent": escaping would make it grow
	if err := enc.Encode(members); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// kind returns the first significant byte of a JSON value: '{', '[', '"', 't', 'f', 'n', '-' or a digit.
func kind(value []byte) byte {
	value = bytes.TrimLeft(value, " \t\r\n")
	if len(value) == 0 {
		return 0
	}
	return value[0]
}
