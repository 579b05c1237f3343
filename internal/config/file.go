package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// Limits of a file: far more than any configuration needs. The library takes the time of a pass over the whole file
// for each key that it reports, so that a file of a megabyte that is something else would keep the start waiting for
// minutes.
const (
	maxConfigFile = 64 * KiB
	maxKeys       = 256 // keys and tables, at all depths
)

// readFile finds out which file to read, and reads it. Where several sources name one, the strongest wins, as for
// any other setting.
func (l *loader) readFile() {
	s := lookup(configFlag)
	if value, ok := l.getenv(s); ok {
		l.set(s, value, envPlace(s.env()))
	}
	if f := l.flag(s); f != nil && f.given {
		l.set(s, f.text, "--"+s.name)
	}
	l.blind = l.bad[s.name]
	path := l.config.File
	if path == "" {
		return
	}
	data, err := readFile(path, maxConfigFile)
	if err != nil {
		l.blind = true
		l.problem(l.place(configFlag), fmt.Sprintf("%s: %v", quote(path), err))
		return
	}
	if l.src.Again && len(bytes.TrimSpace(data)) == 0 {
		l.problem(path, "is empty, as a file is that somebody is writing; where there are to be no rules, let a comment stand in it")
		return
	}
	l.readTOML(path, data)
}

// entry is one key of the file at the top level, or a table.
type entry struct {
	key   []string
	line  int
	value any // nil for a table
}

// readTOML takes the settings from the text of a file.
func (l *loader) readTOML(path string, data []byte) {
	entries, rules, line, err := parseTOML(data)
	if err != nil {
		l.blind = true
		place := path
		if line > 0 {
			place = fmt.Sprintf("%s:%d", path, line)
		}
		l.problem(place, err.Error())
		return
	}
	var ruleLines []int
	for _, e := range entries {
		if e.key[0] == rulesKey {
			if len(e.key) == 1 || len(ruleLines) == 0 {
				ruleLines = append(ruleLines, e.line)
			}
			continue
		}
		name := strings.Join(e.key, ".")
		place := fmt.Sprintf("%s:%d: %s", path, e.line, printable(name))
		s := lookup(name)
		if s == nil || s.noFile || len(e.key) > 1 {
			l.problem(place, unknownKey(e, s))
			continue
		}
		text, err := s.fromTOML(e.value)
		if err != nil {
			if l.wanted(s) {
				l.refuse(s, place, err.Error())
			}
			continue
		}
		l.set(s, text, place)
	}
	l.readRules(path, rules, ruleLines)
}

// unknownKey says why a key cannot stand in the file.
func unknownKey(e entry, s *setting) string {
	if s != nil && s.noFile {
		return "a file cannot name another; give --" + s.name + " or " + s.env()
	}
	reason := "no setting has this name"
	if len(e.key) > 1 || e.value == nil {
		reason = `there are no tables here but [[rules]]; every setting is a key of its own, like verify-listen = "127.0.0.1:8081"`
	}
	if near := nearest(strings.Join(e.key, "-")); near != nil && !near.noFile && (near != s) {
		reason += "; did you mean " + near.name + "?"
	}
	return reason
}

// parseTOML returns the keys of a document with their lines, in the order of the lines, and the value of the one that holds the
// rules. Where it cannot be read, line is the line at fault, or 0.
//
// The library tells the values from the places: the document is decoded into a map for the values, and then strictly
// into a struct that has no fields, so that each key is reported as unknown, with the line it is on.
func parseTOML(data []byte) (entries []entry, rules any, line int, err error) {
	if line, err := notText(data); err != nil {
		return nil, nil, line, err
	}
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		return nil, nil, lineOf(err), errors.New("is no TOML: " + strings.TrimPrefix(err.Error(), "toml: "))
	}
	rules = values[rulesKey]
	delete(values, rulesKey)
	if n := count(rules); n > maxRuleKeys {
		return nil, nil, 0, fmt.Errorf("holds rules of %d keys and elements; %d at most", n, maxRuleKeys)
	}
	if n := count(values); n > maxKeys {
		return nil, nil, 0, fmt.Errorf("holds %d keys and tables, far more than there are settings; is it the right file?", n)
	}
	var nothing struct{}
	err = toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&nothing)
	strict, ok := errors.AsType[*toml.StrictMissingError](err)
	if !ok {
		return nil, nil, 0, err // an empty document has no keys: no error
	}
	for _, key := range strict.Errors {
		e := entry{key: key.Key()}
		e.line, _ = key.Position()
		if len(e.key) == 1 {
			if value := values[e.key[0]]; !isTable(value) {
				e.value = value
			}
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.line - b.line })
	return entries, rules, 0, nil
}

func isTable(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		return true
	case []any: // [[name]], or an array of tables
		return slices.ContainsFunc(v, isTable)
	}
	return false
}

// count returns how many keys, tables and elements of arrays a document has below value.
func count(value any) int {
	n := 0
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			n += 1 + count(inner)
		}
	case []any:
		for _, inner := range v {
			n += 1 + count(inner)
		}
	}
	return n
}

// lineOf returns the line that an error of the library's is about, or 0.
func lineOf(err error) int {
	decode, ok := errors.AsType[*toml.DecodeError](err)
	if !ok {
		return 0
	}
	line, _ := decode.Position()
	return line
}

// notText says why data is no text that could be TOML, and on which line.
func notText(data []byte) (line int, err error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return 1, errors.New("is UTF-16; save it as UTF-8")
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return 1, errors.New("begins with a byte order mark; save it as UTF-8 without one")
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if bytes.IndexByte(line, 0) >= 0 {
			return number, errors.New("holds a zero byte; this is no text file")
		}
		if !utf8.Valid(line) {
			return number, errors.New("is not UTF-8")
		}
	}
	return 0, nil
}

// fromTOML returns the text that a value in the file stands for.
func (s *setting) fromTOML(value any) (string, error) {
	switch v := value.(type) {
	case string:
		if s.kind != boolean {
			return v, nil
		}
	case bool:
		if s.kind == boolean {
			return strconv.FormatBool(v), nil
		}
	case int64:
		if s.kind == byteSize {
			return strconv.FormatInt(v, 10), nil
		}
	}
	right := "a string in quotes"
	switch s.kind {
	case boolean:
		right = "true or false, without quotes"
	case byteSize:
		right = `a string like "256MiB", or a number of bytes`
	}
	return "", fmt.Errorf("is %s; write %s", tomlType(value), right)
}

// tomlType names the type of a value as TOML does.
func tomlType(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case []any:
		return "an array"
	case nil, map[string]any:
		return "a table"
	default: // what is left in TOML
		return "a date or time"
	}
}

// printable returns a key for an error message: as it is where it is a bare key, else quoted.
func printable(key string) string {
	for _, r := range key {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return quote(key)
		}
	}
	if key == "" || len(key) > maxQuoted {
		return quote(key)
	}
	return key
}
