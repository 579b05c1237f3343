package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestParseSecret(t *testing.T) {
	for file, want := range map[string]string{
		"hunter2":                    "hunter2",
		"hunter2\n":                  "hunter2",
		"\n \t\r\n\thunter2 \r\nx\n": "hunter2",
		"pass word über":             "pass word über",
	} {
		if s, err := ParseSecret([]byte(file)); err != nil || s.Reveal() != want || !s.Given() {
			t.Errorf("%q: %q, %v", file, s.Reveal(), err)
		}
	}
	for file, want := range map[string]string{
		"": "the file is empty", " \n\r\n\t": "the file is empty", "hunter2\x00": "no text file", "hunter2\xff": "no text file", "hunt\ter2": "no text file",
	} {
		if s, err := ParseSecret([]byte(file)); err == nil || s.Given() || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunt") {
			t.Errorf("%q: %v, %v", file, s, err)
		}
	}
	if (Secret{}).Given() {
		t.Error("the zero Secret is one")
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const text = "hunter2hunter2"
	secret, err := ParseSecret([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := Default(false)
	c.OIDC.ClientSecret, c.SMTP.Password, c.LimitsStore.URL, c.LimitsStore.Password = secret, secret, secret, secret
	var log strings.Builder
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("x", "secret", secret, "config", c, "value", *c, "oidc", c.OIDC, "smtp", c.SMTP)
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js) + fmt.Sprintf("%v %+v %#v %s %q %x %d", secret, secret, secret, secret, secret, secret, secret) +
		fmt.Sprintf("%v %+v %#v %v %#v", c, *c, *c, c.OIDC, c.SMTP)
	if strings.Count(out, "a secret") < 10 {
		t.Errorf("what is printed instead of a secret is not in %s", out)
	}
	for _, leak := range []string{"hunter", fmt.Sprintf("%x", text[:6]), "aHVudGVy"} {
		if strings.Contains(out, leak) {
			t.Errorf("%q is in %s", leak, out)
		}
	}
}
