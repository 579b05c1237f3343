package password

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheck(t *testing.T) {
	const (
		short   = "must be at least 12 characters long, not "
		guessed = "is among the passwords that are guessed first; choose another one"
		email   = "Jo.Miller@Example.com"
	)
	for _, tt := range []struct {
		about, password, want string
	}{
		{"nothing", "", short + "0"},
		{"eleven", "tr0ubadours", short + "11"},
		{"twelve", "tr0ubadours!", ""},
		{"no rule about characters", "umbrellas of cherbourg", ""},
		{"nor about digits", "582940173625", ""},
		{"spaces count, and are not trimmed", "  tr0ubadou  ", ""},
		{"another script", "длинныйпароль", ""},
		{"characters, not bytes", "длинныйпаро", short + "11"},
		{"a letter and its accent are one", "tr0ubadoure\u0301", short + "11"},
		{"a sign that NFKC makes eighteen of is one", "\ufdfa", short + "1"},
		{"the longest", strings.Repeat("long and dull, ", 68) + "1234", ""},
		{"too long", strings.Repeat("long and dull, ", 68) + "12345", "must be at most 1024 bytes long, not 1025"},
		{"not UTF-8", "tr0ubadours\xff!", "must be valid UTF-8"},

		{"the address", email, "must not be the e-mail address"},
		{"the address in another case", "jo.miller@EXAMPLE.com", "must not be the e-mail address"},
		{"the address and more", email + "!", ""},

		{"listed", "1qaz2wsx3edc", guessed},
		{"listed, in another case", "UnBelievable", guessed},
		{"listed, in full width", "ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ", guessed},
		{"the first of the list", "!qaz2wsx!qaz2wsx", guessed},

		{"a listed one twice", "dragondragon", guessed},
		{"one and a half times", "trustno1trus", ""},
		{"twice and a half", "dragondragondra", guessed},
		{"any short one repeated", "Xq7!Xq7!Xq7!", guessed},
		{"one character", "aaaaaaaaaaaa", guessed},
		{"one character of several bytes", strings.Repeat("🔑", 12), guessed},
		{"an unlisted one twice", "vk27rowvk27row", ""},

		{"digits behind", "password1234", guessed},
		{"digits in front", "1984dragon12", guessed},
		{"a date behind", "monkey20260131", guessed},
		{"more than a date", "monkey5820260131", ""},
		{"punctuation", "!!Sunshine!!", guessed},
		{"a listed one that ends in digits", "trustno12026", guessed},
		{"a listed one that begins with digits", "991q2w3e4r99", guessed},
		{"a long run behind", "password1234567890", guessed},
		{"runs around", "1234567890password0987654321", guessed},
		{"a number that holds a listed one", "819412345670", ""},
		{"words around", "my password is 1234", ""},

		{"digits in a row", "123456789012", guessed},
		{"from zero", "0123456789012", guessed},
		{"downwards", "210987654321", guessed},
		{"with the two keys behind", "1234567890-=", guessed},
		{"the same with shift", "!@#$%^&*()_+", guessed},
		{"the alphabet", "abcdefghijkl", guessed},
		{"rows of the keyboard", "qwertyasdfgh", guessed},
		{"a German row and digits", "qwertzuiop123", guessed},
		{"columns", "zaq1xsw2cde3", guessed},
		{"zigzag", "1q2w3e4r5t6y7u", guessed},
		{"a Russian row", "йцукенгшщзхъ", guessed},
		{"steps", "aaabbbcccddd", guessed},
		{"two of a row are a coincidence", "hideoutstation", ""},
	} {
		if got := Check(tt.password, email); got != tt.want {
			t.Errorf("%s: Check(%q) = %q, want %q", tt.about, tt.password, got, tt.want)
		}
	}
}

func TestCheckWithoutAnAddress(t *testing.T) {
	if got := Check("tr0ubadours!", ""); got != "" {
		t.Errorf("Check = %q", got)
	}
}

func TestRowsHoldACharacterOnce(t *testing.T) {
	for _, row := range rows {
		for i, key := range row {
			if slices.Index(row, key) != i {
				t.Errorf("%s holds %c twice: a run from the second is not seen", string(row), key)
			}
		}
	}
}

// The list is searched by halves, which finds nothing where it is not sorted as the search believes.
func TestTheListIsFound(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(common, "\n"), "\n")
	if len(lines) < 40_000 {
		t.Fatalf("%d passwords", len(lines))
	}
	if !slices.IsSorted(lines) || !strings.HasSuffix(common, "\n") {
		t.Error("not sorted by bytes, or the last line is not ended")
	}
	long := 0
	for _, line := range lines {
		if !listed(line) {
			t.Errorf("%q is in the list and is not found", line)
		}
		if line != strings.ToLower(normalize(line)) || utf8.RuneCountInString(line) < MinLength-maxPadding {
			t.Errorf("%q: in a form that no password is looked up in", line)
		}
		if utf8.RuneCountInString(line) >= MinLength {
			long++
			if Check(line, "") == "" {
				t.Errorf("%q may be chosen", line)
			}
		}
	}
	if long < 300 {
		t.Errorf("%d passwords of %d characters and more", long, MinLength)
	}
	for _, absent := range []string{"", "\n", lines[0][:1], lines[0] + "\n" + lines[1], "passw0rds", "zzzzzzzzzzzzzzzzz", "~~~~~~~~~~~~~~~", "\U0010ffff"} {
		if listed(absent) {
			t.Errorf("%q is not in the list and is found", absent)
		}
	}
}

// Texts of the greatest length are judged without a pause: each is the worst for one of the rules.
func BenchmarkCheck(b *testing.B) {
	for name, password := range map[string]string{
		"usual":     "umbrellas of cherbourg",
		"repeated":  strings.Repeat("a", MaxLength-1) + "b",
		"padded":    strings.Repeat("1234567890", 50) + "x" + strings.Repeat("1234567890", 50),
		"expanding": strings.Repeat("\ufdfa", MaxLength/3),
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				Check(password, "")
			}
		})
	}
}

func ExampleCheck() {
	fmt.Println(Check("Password2026", "jo@example.com"))
	fmt.Println(Check("four words are easy to keep", "jo@example.com"))
	// Output:
	// is among the passwords that are guessed first; choose another one
	//
}
