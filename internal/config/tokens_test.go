package config

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseTokens(t *testing.T) {
	a, b := strings.Repeat("a", 32), strings.Repeat("!~", 256)
	for name, file := range map[string]string{
		"no line end":         a + "\n" + b,
		"line ends of DOS":    a + "\r\n" + b + "\r\n",
		"space and emptiness": "\n  \n\t" + a + "  \n\n" + b + "\n\n",
		"one is there twice":  a + "\n" + b + "\n" + a + "\n",
	} {
		tokens, err := ParseTokens([]byte(file))
		if err != nil || tokens.Len() != 2 {
			t.Errorf("%s: %v, %v", name, tokens, err)
			continue
		}
		for presented, want := range map[string]bool{a: true, b: true, a[1:]: false, a + "a": false, b + "!": false, "": false, a + "\n": false,
			strings.ToUpper(a): false} {
			if tokens.Match(presented) != want {
				t.Errorf("%s: Match(%q) = %v", name, presented, !want)
			}
		}
	}
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", "the file is empty"},
		{"only space", "\n \r\n\t", "the file is empty"},
		{"short", a + "\n" + a[1:], "line 2 has 31 characters; a token has 32 to 512"},
		{"long", b + "x", "line 1 has 513 characters"},
		{"space inside", a + " " + a, "line 1 holds a character that is not visible ASCII"},
		{"not ASCII", a + "é", "line 1 holds a character that is not visible ASCII"},
		{"byte order mark", "\ufeff" + a, "line 1 holds a character that is not visible ASCII"},
		{"all at once", "x\n" + a + "\ny\n", "line 1 has 1 characters; a token has 32 to 512; line 3 has 1 characters; a token has 32 to 512"},
		{"many", func() (s string) {
			for i := range 17 {
				s += fmt.Sprintf("%032d\n", i)
			}
			return s
		}(), "the file holds 17 tokens; 16 at most"},
	} {
		if tokens, err := ParseTokens([]byte(tt.file)); err == nil || !strings.Contains(err.Error(), tt.want) || tokens.Len() != 0 {
			t.Errorf("%s: %v, %v, want %q", tt.name, tokens, err, tt.want)
		}
	}
	if (Tokens{}).Match("") {
		t.Error("no tokens match the empty one")
	}
}

func TestTokensAreNeverPrinted(t *testing.T) {
	secret := "0123456789abcdef0123456789ABCDEF"
	tokens, err := ParseTokens([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	c := Default(false)
	c.VerifyTokens = tokens
	var log strings.Builder
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("x", "tokens", tokens, "config", c, "value", *c)
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js) + fmt.Sprintf("%v %+v %#v %s %q %x %d", tokens, tokens, tokens, tokens, tokens, tokens, tokens) +
		fmt.Sprintf("%v %+v %#v", c, *c, *c)
	if !strings.Contains(out, "1 token") {
		t.Errorf("what is printed instead of the tokens is not in %s", out)
	}
	digest := tokens.digests[0]
	for _, leak := range []string{
		secret[:8], hex.EncodeToString(digest[:4]), strings.Trim(fmt.Sprint(digest[:3]), "[]"), fmt.Sprintf("%#x, %#x", digest[0], digest[1]),
	} {
		if strings.Contains(out, leak) {
			t.Errorf("%q is in %s", leak, out)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	secret := strings.Repeat("t", 43)
	tokens, err := ParseTokens([]byte(secret + "\n" + secret + "u"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !tokens.Match(secret) {
			b.Fatal("refused")
		}
	}
}
