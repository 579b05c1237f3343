package password

import (
	_ "embed"
	"slices"
	"sort"
	"strings"
)

// common holds the passwords that leaks show most often, in lower case, each ended by a line break, sorted by bytes.
// Where they are from is in README.md. The text is searched where it lies: it takes no memory of its own.
//
//go:embed common.txt
var common string

const (
	// maxPadding is how many characters are put around a password that was too short, at most: a date, 20260131.
	maxPadding = 8
	padding    = "0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

	// minRun is how many keys in a row are no coincidence.
	minRun = 3

	// maxUnit is the length in bytes up to which all texts are guessed when they are repeated: ab1!ab1!ab1!
	maxUnit = 4
)

// rows are what people run along: keys in their order on an English, a German, a French and a Russian keyboard, across
// and down, and the alphabet. A character is in a row once.
var rows = [][]rune{
	[]rune("1234567890"), []rune("1234567890-="), []rune("!@#$%^&*()_+"),
	[]rune("qwertyuiop"), []rune("asdfghjkl"), []rune("zxcvbnm"),
	[]rune("qwertzuiop"), []rune("yxcvbnm"),
	[]rune("azertyuiop"), []rune("qsdfghjklm"), []rune("wxcvbn"),
	[]rune("йцукенгшщзхъ"), []rune("фывапролджэ"), []rune("ячсмитьбю"),
	[]rune("1qaz2wsx3edc4rfv5tgb6yhn7ujm"), []rune("qazwsxedcrfvtgbyhnujm"), []rune("1q2w3e4r5t6y7u8i9o0p"),
	[]rune("abcdefghijklmnopqrstuvwxyz"),
}

// guessedFirst reports whether password, in lower case, is one of those that a guesser tries first: those that leaks
// show most often, and what people make of them when a longer one is asked for. The list has few that are long enough
// by themselves.
func guessedFirst(password string) bool {
	return listed(password) || isRun(password) || repeated(password) || padded(password)
}

// listed reports whether password is in the list.
func listed(password string) bool {
	at := sort.Search(len(common), func(i int) bool { return lineAfter(i) >= password })
	return lineAfter(at) == password
}

// lineAfter returns the first line of the list that begins at byte i or later; where there is none, a text that sorts
// behind every password, and is none: it is not UTF-8.
func lineAfter(i int) string {
	if i > 0 {
		i += strings.IndexByte(common[i-1:], '\n')
	}
	if i == len(common) {
		return "\xff"
	}
	line, _, _ := strings.Cut(common[i:], "\n")
	return line
}

// repeated reports whether password is a listed or a very short one, again and again; the last time may be cut off.
func repeated(password string) bool {
	for n := 1; n <= len(password)/2; n++ {
		if password[n:] == password[:len(password)-n] && (n <= maxUnit || listed(password[:n])) {
			return true
		}
	}
	return false
}

// padded reports whether password is a listed one between digits and punctuation: no more of them than in a date,
// wherever the listed one begins, 1q2w3e4r2026, or runs of them, password123456789. The listed one has a letter: a
// number within a number is a coincidence.
func padded(password string) bool {
	front := len(password) - len(strings.TrimLeft(password, padding))
	back := len(password) - len(strings.TrimRight(password, padding))
	if front == len(password) {
		return false
	}
	for i := range min(front, maxPadding) + 1 {
		for j := range min(back, maxPadding-i) + 1 {
			if listed(password[i : len(password)-j]) {
				return true
			}
		}
	}
	core := strings.Trim(password, padding)
	return listed(core) && isRun(password[:front]) && isRun(password[len(password)-back:])
}

// isRun reports whether text is made of runs only, each along minRun keys or more: 123456789012, qwertyasdfgh,
// abc111cba.
func isRun(text string) bool {
	for rest := []rune(text); len(rest) > 0; {
		n := run(rest)
		if n < minRun {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// run returns the length of the longest run that text begins with, in either direction or on one key; 0 where it begins
// with none.
func run(text []rune) int {
	longest := 0
	for _, row := range rows {
		for step := -1; step <= 1; step++ {
			longest = max(longest, along(row, step, text))
		}
	}
	return longest
}

// along returns how many characters of text lie in row one after the other, step keys apart. Behind the last key of a
// row comes its first, as in 7890123.
func along(row []rune, step int, text []rune) int {
	at := slices.Index(row, text[0])
	if at < 0 {
		return 0
	}
	n := 1
	for n < len(text) {
		at = (at + step + len(row)) % len(row)
		if text[n] != row[at] {
			break
		}
		n++
	}
	return n
}
