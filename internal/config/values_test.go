package config

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "1KiB": 1 << 10, "256MiB": 256 << 20, "3GiB": 3 << 30, "9223372036854775807": 1<<63 - 1,
		"8589934591GiB": 8589934591 << 30, "0GiB": 0,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "MiB", "-1", "+1", "1.5GiB", "256MB", "256M", "256 MiB", "256mib", "256MiBKiB", " 1", "1 ", "0x10", "1_000",
		"9223372036854775808", "8589934592GiB", "18446744073709551615", "99999999999999999999MiB", "1e9",
	} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d", text, got)
		}
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{0: "0", 1: "1", 1023: "1023", 1 << 10: "1KiB", 1536: "1536", 256 << 20: "256MiB",
		1 << 40: "1024GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d = %s, want %s", int64(size), got, want)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"256MiB", "0", "8589934592GiB", "1KiBKiB", "-1GiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			return
		}
		if again, err := ParseSize(size.String()); size < 0 || err != nil || again != size {
			t.Fatalf("%q is %d, which is written %s and read as %d, %v", text, int64(size), size, int64(again), err)
		}
	})
}

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		text    string
		network string
		address string
		local   bool
	}{
		{":8080", "tcp", ":8080", false},
		{"0.0.0.0:8080", "tcp", "0.0.0.0:8080", false},
		{"[::]:8080", "tcp", "[::]:8080", false},
		{"[0:0::0]:8080", "tcp", "[::]:8080", false},
		{"[::ffff:0.0.0.0]:8080", "tcp", "[::ffff:0.0.0.0]:8080", false},
		{"192.0.2.1:80", "tcp", "192.0.2.1:80", false},
		{"[fe80::1%eth0]:80", "tcp", "[fe80::1%eth0]:80", false},
		{"keys.example.com:80", "tcp", "keys.example.com:80", false},
		{"localhost.example.com:80", "tcp", "localhost.example.com:80", false},
		{"api.localhost:80", "tcp", "api.localhost:80", false}, // a resolver would have to be believed
		{"my_host:080", "tcp", "my_host:80", false},
		{"127.0.0.1:0", "tcp", "127.0.0.1:0", true},
		{"127.8.9.10:65535", "tcp", "127.8.9.10:65535", true},
		{"[::1]:80", "tcp", "[::1]:80", true},
		{"[::ffff:127.0.0.1]:80", "tcp", "[::ffff:127.0.0.1]:80", true},
		{"localhost:80", "tcp", "127.0.0.1:80", true}, // never looked up
		{"LOCALHOST.:80", "tcp", "127.0.0.1:80", true},
		{"unix:/run/apikeyd.sock", "unix", "/run/apikeyd.sock", true},
		{"unix:rel.sock", "unix", "rel.sock", true},
		{"unix:" + strings.Repeat("x", 103), "unix", strings.Repeat("x", 103), true},
	} {
		a, err := ParseAddress(tt.text)
		if err != nil || a.Network != tt.network || a.Address != tt.address || a.Local() != tt.local {
			t.Errorf("ParseAddress(%q) = %+v local %v, %v", tt.text, a, a.Local(), err)
		}
	}
	for _, text := range []string{
		"", ":", "8080", "127.0.0.1", "localhost", "::1:80", "[::1]", "[::1]80", "1.2.3.4:http", ":-1", ":+1", ":65536", ": 80",
		":80 ", " :80", "127.1:80", "0x7f.0.0.1:80", "2130706433:80", "127.0.0.01:80", "1.2.3:80", "*:80", "a b:80", "-a:80",
		"a..b:80", "ä:80", "[localhost%x]:80", "http://127.0.0.1:80", "tcp:127.0.0.1:80", "\x00:80", "a\n:80",
		strings.Repeat("a.", 127) + "aa:80",
		"unix:", "unix://run/x.sock", "unix:///run/x.sock", "unix:@abstract", "unix:\x00abstract", "unix:/run/",
		"unix:" + strings.Repeat("x", 104), "UNIX:/x",
	} {
		if a, err := ParseAddress(text); err == nil {
			t.Errorf("ParseAddress(%q) = %+v", text, a)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{":80", "localhost:0", "[::ffff:127.0.0.1]:80", "[fe80::1%a:b]:1", "unix:/x", "unix:\xff", "a.b.:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Fatalf("%q: error %q would break a line", text, err)
			}
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Fatalf("%q is %+v, which is written %s and read as %+v, %v", text, a, a, again, err)
		}
		if !a.Overlaps(a) && !strings.HasSuffix(a.Address, ":0") {
			t.Fatalf("%s does not overlap itself", a)
		}
	})
}

func TestOverlaps(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{":80", ":80", true},
		{":80", ":81", false},
		{":0", ":0", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{":80", "127.0.0.1:80", true},
		{":80", "keys.example.com:80", true},
		{"[::]:80", "192.0.2.1:80", true},
		{"[::]:80", "0.0.0.0:80", true},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", false},
		{"0.0.0.0:80", "[::ffff:127.0.0.1]:80", true},
		{"0.0.0.0:80", "keys.example.com:80", true},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"127.0.0.1:80", "[::1]:80", false},
		{"127.0.0.1:80", "[::ffff:127.0.0.1]:80", true},
		{"127.0.0.1:80", "localhost:80", true},
		{"a.example.com:80", "b.example.com:80", false},
		{"unix:/x", "unix:/x", true},
		{"unix:/run/../x", "unix:/x", true},
		{"unix:/x", "unix:/y", false},
		{"unix:/x", ":80", false},
	} {
		a, errA := ParseAddress(tt.a)
		b, errB := ParseAddress(tt.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.Overlaps(b) != tt.want || b.Overlaps(a) != tt.want {
			t.Errorf("%s and %s: %v, %v, want %v", a, b, a.Overlaps(b), b.Overlaps(a), tt.want)
		}
	}
}

func TestParseDatabase(t *testing.T) {
	for text, path := range map[string]string{
		"sqlite:apikeyd.db": "apikeyd.db", "sqlite:/var/lib/a b.db": "/var/lib/a b.db", "sqlite:x?y#z": "x?y#z", "sqlite:./x": "./x",
	} {
		d, err := ParseDatabase(text)
		if err != nil || d.Path != path || d.String() != text {
			t.Errorf("ParseDatabase(%q) = %+v, %v", text, d, err)
		}
	}
	for text, want := range map[string]string{
		"":                        "does not say what kind of database",
		"apikeyd.db":              "does not say what kind of database",
		"/var/lib/apikeyd.db":     "does not say what kind of database",
		"postgres://u:p@h":        "names no database; write postgres://USER@HOST:PORT/NAME",
		"postgres://u:p@h/":       "names no database",
		"postgres://u:p@h/db#x":   "has a fragment",
		"postgres://u:p@h:x/db":   "is no URL",
		"postgres:u:p@h/db":       "is no URL",
		"PostgreSQL://h/db":       "is no database that apikeyd knows",
		"mysql://h/db":            "mysql: is no database that apikeyd knows; write sqlite:PATH, like sqlite:apikeyd.db",
		"SQLite:x":                "is no database that apikeyd knows; write sqlite:PATH",
		"sqlite3:x":               "is no database that apikeyd knows; write sqlite:PATH",
		"file:x.db":               "is no database that apikeyd knows",
		"sqlite:":                 "names no file",
		"sqlite:///x.db":          "a path begins right behind sqlite:",
		"sqlite::memory:":         "would forget every key",
		"sqlite::memory:?cache=x": "would forget every key",
		"sqlite:file:x.db?mode=r": "is no place for SQLite's own options",
		"sqlite:/var/lib/":        "names a folder",
		"sqlite:a\x00b":           "zero byte",
	} {
		if d, err := ParseDatabase(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDatabase(%q) = %+v, %v, want %q", text, d, err, want)
		}
	}
}

// TestPostgres looks for the password in whatever an address may be printed by.
func TestPostgres(t *testing.T) {
	for text, shown := range map[string]string{
		"postgres://u:hunter2@h:5432/db?pool_max_conns=9": "postgres://h:5432/db",
		"postgresql://u@h/db?password=hunter2":            "postgresql://h/db",
		"postgres:///db?host=/run/hunter2":                "postgres:///db",
		"postgres://u:hunter2@h1:1,h2:2/db":               "postgres://h1:1,h2:2/db",
	} {
		d, err := ParseDatabase(text)
		if err != nil || d.Path != "" || d.Postgres.Reveal() != text {
			t.Errorf("ParseDatabase(%q) = %v", text, err)
			continue
		}
		if d.String() != shown {
			t.Errorf("%q is shown as %s, want %s", text, d, shown)
		}
		logged := new(bytes.Buffer)
		slog.New(slog.NewJSONHandler(logged, nil)).Info("x", "database", d, "config", &Config{Database: d})
		for _, printed := range []string{fmt.Sprint(d), fmt.Sprintf("%+v", &Config{Database: d}), fmt.Sprintf("%#v", d), logged.String()} {
			if strings.Contains(printed, "hunter2") {
				t.Errorf("the password is in %s", printed)
			}
		}
	}
}

func TestParsePublicURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://keys.example.com":        "https://keys.example.com",
		"https://keys.example.com/":       "https://keys.example.com",
		"http://[::1]:8080/apikeyd//":     "http://[::1]:8080/apikeyd",
		"HTTPS://keys.example.com/a%2Fb/": "https://keys.example.com/a%2Fb",
	} {
		if got, err := parsePublicURL(text); err != nil || got != want {
			t.Errorf("parsePublicURL(%q) = %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"keys.example.com":        "no absolute URL",
		"/x":                      "no absolute URL",
		"ftp://keys.example.com":  "no absolute URL",
		"https://":                "no absolute URL",
		"https://:80":             "no absolute URL",
		"https:keys.example.com":  "no absolute URL",
		"https://k.example:x":     "no absolute URL",
		"https://k.example:99999": "not a number up to 65535",
		"https://k.example/?":     "holds a query",
		"https://k.example/?a=b":  "holds a query",
		"https://k.example/#":     "holds a fragment",
		"https://u@k.example":     "holds a user name",
		"https://k.example/\n":    "no absolute URL",
	} {
		if got, err := parsePublicURL(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parsePublicURL(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "30s": 30 * time.Second, "1h2m": 62 * time.Minute, "1.5s": 1500 * time.Millisecond} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "30", "-1s", "1d", "forever", "9999999h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v", text, got)
		}
	}
}

func TestBoundedDurations(t *testing.T) {
	for text, ok := range map[string]bool{"5m": true, "299s": false, "0": false, "1h": true, "x": false} {
		if d, err := noShorter(5 * time.Minute)(text); (err == nil) != ok {
			t.Errorf("noShorter(5m)(%q) = %v, %v", text, d, err)
		}
	}
	for text, ok := range map[string]bool{"0": true, "0s": true, "24h": true, "1440m": true, "23h59m": false, "1ns": false, "-1h": false, "1d": false} {
		if d, err := parseRetention(text); (err == nil) != ok {
			t.Errorf("parseRetention(%q) = %v, %v", text, d, err)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 10 * time.Second: "10s", 5 * time.Minute: "5m", 90 * time.Minute: "1h30m",
		100 * time.Minute: "1h40m", 12 * time.Hour: "12h", 10*time.Hour + time.Second: "10h0m1s", 70 * time.Second: "1m10s"} {
		if got := inUnits(d); got != want {
			t.Errorf("inUnits(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":                      "[192.0.2.1/32]",
		"10.0.0.0/8,2001:db8::/32 , ::1": "[10.0.0.0/8 2001:db8::/32 ::1/128]",
		"::ffff:192.0.2.1":               "[192.0.2.1/32]",
		"0.0.0.0/0":                      "[0.0.0.0/0]",
		"\t192.0.2.0/24\t":               "[192.0.2.0/24]",
	} {
		if got, err := ParseProxies(text); err != nil || fmt.Sprint(got) != want {
			t.Errorf("ParseProxies(%q) = %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                    "has nothing where an address should be; write addresses and networks like 192.0.2.1",
		"192.0.2.1,":          "has nothing where an address should be",
		"10.0.0.0/8,,::1":     "has nothing where an address should be",
		"proxy.example.com":   `"proxy.example.com" is neither an IP address nor a network`,
		"10.0.0.0/8 ::1":      `"10.0.0.0/8 ::1" is neither`,
		"10.0.0.0/33":         `"10.0.0.0/33" is neither`,
		"fe80::1%eth0":        `"fe80::1%eth0" is neither`,
		"unix":                `"unix" is neither`,
		"127.1":               `"127.1" is neither`,
		"10.0.0.1/8":          `"10.0.0.1/8" is an address with the size of its network; write the network, 10.0.0.0/8, or the address alone`,
		"::ffff:10.0.0.0/104": `"::ffff:10.0.0.0/104" is an IPv4 network in IPv6 notation`,
	} {
		if got, err := ParseProxies(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseProxies(%q) = %v, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzProxies(f *testing.F) {
	f.Add("10.0.0.0/8, ::1,192.0.2.1")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseProxies(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00\x1b") {
				t.Fatalf("%q: error %q would break a line", text, err)
			}
			return
		}
		for _, p := range all {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
				t.Fatalf("%q: %s", text, p)
			}
			if again, err := ParseProxies(p.String()); err != nil || again[0] != p {
				t.Fatalf("%q: %s is read as %v, %v", text, p, again, err)
			}
		}
	})
}

func TestParseIssuer(t *testing.T) {
	for _, text := range []string{
		"https://login.example.com", "https://login.example.com/", "https://login.example.com/realms/a%20b", "http://localhost:5556/dex",
		"http://127.0.0.1:1", "http://[::1]", "HTTPS://Login.example.com",
	} {
		if got, err := parseIssuer(text); err != nil || got != text {
			t.Errorf("parseIssuer(%q) = %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"login.example.com":         "no absolute URL",
		"https://":                  "no absolute URL",
		"ftp://login.example.com":   "no absolute URL",
		"http://login.example.com":  "is not encrypted",
		"http://localhost.example":  "is not encrypted",
		"http://0.0.0.0":            "is not encrypted",
		"https://u:p@login.example": "holds a user name",
		"https://login.example/?a":  "holds a query or a fragment",
		"https://login.example/#":   "holds a query or a fragment",
		"https://login.example/.well-known/openid-configuration": "leave out /.well-known/openid-configuration",
	} {
		if got, err := parseIssuer(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseIssuer(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseMailServer(t *testing.T) {
	for text, want := range map[string]string{
		"mail.example.com:587": "mail.example.com:587", "localhost:25": "localhost:25", "192.0.2.1:025": "192.0.2.1:25", "[0:0::1]:465": "[::1]:465",
	} {
		if got, err := parseMailServer(text); err != nil || got != want {
			t.Errorf("parseMailServer(%q) = %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"mail.example.com":           "is no address of a server; write HOST:PORT like mail.example.com:587",
		":25":                        "is no address of a server",
		"unix:/run/mail":             "has no port that is a number from 1 to 65535",
		"smtp://mail.example.com":    "has no port", // the last colon
		"mail.example.com:0":         "has no port",
		"mail.example.com:smtp":      "has no port",
		"mail.example.com:65536":     "has no port",
		"mail example.com:25":        "a host that is neither an IP address nor a host name",
		"127.1:25":                   "a host that is neither",
		"smtp://mail.example.com:25": "is no address of a server",
	} {
		if got, err := parseMailServer(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseMailServer(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseName(t *testing.T) {
	if got, err := parseName("Büro 1"); err != nil || got != "Büro 1" {
		t.Errorf("parseName = %q, %v", got, err)
	}
	for _, text := range []string{"a\x00b", "a\nb", "\xff"} {
		if got, err := parseName(text); err == nil {
			t.Errorf("parseName(%q) = %q", text, got)
		}
	}
}

func TestTokenPrefixIsOneThatTokensTake(t *testing.T) {
	if got, err := parseTokenPrefix("acme_live"); err != nil || got != "acme_live" {
		t.Errorf("parseTokenPrefix = %q, %v", got, err)
	}
	if _, err := parseTokenPrefix("AK"); err == nil {
		t.Error("AK is accepted")
	}
}

func TestQuoteIsShortAndHidesPasswords(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb":                        `"a\nb"`,
		"x://u:p@h/":                  `"x://…@h/"`,
		strings.Repeat("é", 40):       `"` + strings.Repeat("é", 32) + `…"`,
		"a" + strings.Repeat("é", 40): `"a` + strings.Repeat("é", 31) + `…"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}
