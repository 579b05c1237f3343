package config

import "strings"

// nearest returns the setting whose name somebody most likely meant by name, or nil where none is near. Case does not
// count, nor which of - and _ stands between words.
func nearest(name string) *setting {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	var best *setting
	limit := 1 + len(name)/6 // one slip in a short name, three in a long one
	for i := range settings {
		if d := distance(name, settings[i].name, limit); d <= limit {
			best, limit = &settings[i], d-1
		}
	}
	return best
}

// distance returns how many letters must be put in, left out or replaced to make b of a, or more than limit where it
// is more than limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
