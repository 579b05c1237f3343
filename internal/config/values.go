package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/apikeyd/apikeyd/internal/token"
)

// parsePath takes any path. Whether there is such a file is asked once it is known that it is the one to use.
func parsePath(text string) (string, error) {
	if strings.ContainsRune(text, 0) {
		return "", errors.New("holds a zero byte, which no file name has")
	}
	return text, nil
}

// parseName takes a name that another server knows: any text without a control character.
func parseName(text string) (string, error) {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", errors.New("holds a control character, or is not UTF-8")
	}
	return text, nil
}

func parseBool(text string) (bool, error) {
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s is neither true nor false", quote(text))
	}
	return value, nil
}

// parseDuration reads a Go duration that is not negative.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is no duration; write a number with a unit (ms, s, m, h), like 30s", quote(text))
	case d < 0:
		return 0, fmt.Errorf("%s is negative; a duration here is 0s or more", quote(text))
	}
	return d, nil
}

// between reads a duration from low to high.
func between(low, high time.Duration) func(string) (time.Duration, error) {
	read := noShorter(low)
	return func(text string) (time.Duration, error) {
		d, err := read(text)
		if err == nil && d > high {
			return 0, fmt.Errorf("%s is too long; write at most %s", quote(text), inUnits(high))
		}
		return d, err
	}
}

// maxNodeName bounds a name that stands in every list of nodes.
const maxNodeName = 100

func parseNodeName(text string) (string, error) {
	if len(text) > maxNodeName || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("is no name of a node; write at most %d printable characters", maxNodeName)
	}
	return text, nil
}

// noShorter reads a duration of at least low.
func noShorter(low time.Duration) func(string) (time.Duration, error) {
	return func(text string) (time.Duration, error) {
		d, err := parseDuration(text)
		if err == nil && d < low {
			return 0, fmt.Errorf("%s is too short; write at least %s", quote(text), inUnits(low))
		}
		return d, err
	}
}

// parseRetention reads how long something is kept; 0 is for ever.
func parseRetention(text string) (time.Duration, error) {
	const low = 24 * time.Hour
	d, err := parseDuration(text)
	if err == nil && d != 0 && d < low {
		return 0, fmt.Errorf("%s is too short; write at least %s, or 0s to keep everything", quote(text), inUnits(low))
	}
	return d, err
}

// inUnits returns a duration as people write it, without units of which there are none: 12h, not 12h0m0s.
func inUnits(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// oneOf takes the given values and no other.
func oneOf(values ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !slices.Contains(values, text) {
			return "", fmt.Errorf("%s is none of %s", quote(text), strings.Join(values, ", "))
		}
		return text, nil
	}
}

func parseLevel(text string) (slog.Level, error) {
	name, err := oneOf("debug", "info", "warn", "error")(text)
	if err != nil {
		return 0, err
	}
	var level slog.Level
	return level, level.UnmarshalText([]byte(name))
}

func parseTokenPrefix(text string) (string, error) { return text, token.CheckPrefix(text) }

// parsePublicURL takes an absolute http or https URL that paths can be appended to, and returns it without a slash
// at its end.
func parsePublicURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return "", fmt.Errorf("%s is no absolute URL; write one like https://keys.example.com", quote(text))
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", fmt.Errorf("%s has a port that is not a number up to 65535", quote(text))
		}
	}
	switch {
	case u.User != nil:
		return "", fmt.Errorf("%s holds a user name; it would be shown to everybody", quote(text))
	case u.RawQuery != "" || u.ForceQuery:
		return "", fmt.Errorf("%s holds a query; paths are appended to this URL", quote(text))
	case strings.Contains(text, "#"):
		return "", fmt.Errorf("%s holds a fragment; paths are appended to this URL", quote(text))
	}
	return strings.TrimRight(u.String(), "/"), nil
}
