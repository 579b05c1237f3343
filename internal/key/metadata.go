package key

import (
	"bytes"
	"encoding/json"
	"errors"
)

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
