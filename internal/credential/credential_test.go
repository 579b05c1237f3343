package credential

import (
	"testing"

	"github.com/apikeyd/apikeyd/internal/token"
)

func TestFind(t *testing.T) {
	a, b := token.New("ak").Reveal(), token.New("ak").Reveal()
	for _, c := range []struct {
		name                  string
		authorization, apiKey []string
		want                  Sent
		err                   error
	}{
		{"nothing", nil, nil, Sent{}, nil},
		{"another scheme", []string{"Basic " + a}, nil, Sent{}, nil},
		{"a scheme that begins alike", []string{"Bearers " + a}, nil, Sent{}, nil},
		{"a bearer", []string{"Bearer " + a}, nil, Sent{Key: a}, nil},
		{"in another case, with spaces", []string{"bEARER   " + a + " "}, nil, Sent{Key: a}, nil},
		{"a header", nil, []string{a}, Sent{Key: a}, nil},
		{"the same, twice", []string{"Bearer " + a, "Bearer " + a}, []string{a}, Sent{Key: a}, nil},
		{"two keys", []string{"Bearer " + a}, []string{b}, Sent{}, ErrTwoKeys},
		{"two keys and something else", []string{"Bearer " + a, "Bearer x"}, []string{b}, Sent{}, ErrTwoKeys},
		{"two keys and the first again", []string{"Bearer " + a, "Bearer " + b, "Bearer " + a}, nil, Sent{}, ErrTwoKeys},
		{"a key beside somebody else's", []string{"Bearer eyJ"}, []string{a}, Sent{Key: a}, nil},
		{"a key before somebody else's", []string{"Bearer " + a}, []string{"eyJ", "x"}, Sent{Key: a}, nil},
		{"somebody else's", []string{"Bearer eyJ"}, nil, Sent{Foreign: "eyJ"}, nil},
		{"two of somebody else's", []string{"Bearer eyJ"}, []string{"x"}, Sent{}, ErrTwoForeign},
		{"an empty bearer", []string{"Bearer"}, nil, Sent{}, ErrNoKey},
		{"an empty header", nil, []string{""}, Sent{}, nil},
		{"two keys in one line", []string{"Bearer " + a + ",Bearer " + b}, nil, Sent{Foreign: a + ",Bearer " + b}, nil},
	} {
		got, err := Find(c.authorization, c.apiKey)
		if got != c.want || err != c.err {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if text, ok := Only(c.authorization, c.apiKey); ok && (err != nil || text != got.Key+got.Foreign) {
			t.Errorf("%s: the only one is %q", c.name, text)
		}
	}
	for _, c := range []struct {
		authorization, apiKey []string
		want                  string
	}{
		{[]string{"Bearer " + a}, nil, a},
		{[]string{"bEARER  " + a + " "}, nil, a},
		{nil, []string{a}, a},
		{nil, []string{"x"}, "x"},
		{[]string{"Bearer"}, nil, ""},
		{[]string{"Basic " + a}, nil, ""},
		{nil, []string{""}, ""},
		{nil, nil, ""},
		{[]string{"Bearer " + a}, []string{a}, ""},
		{[]string{"Bearer " + a, "Bearer " + a}, nil, ""},
		{nil, []string{a, a}, ""},
	} {
		if text, ok := Only(c.authorization, c.apiKey); text != c.want || ok != (c.want != "") {
			t.Errorf("of %q and %q the only one is %q, want %q", c.authorization, c.apiKey, text, c.want)
		}
	}
	lines := []string{"Bearer " + a}
	if n := testing.AllocsPerRun(100, func() {
		if sent, err := Find(lines, nil); sent.Key != a || err != nil {
			t.Fatal(sent, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
