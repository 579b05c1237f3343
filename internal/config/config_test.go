package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/apikeyd/apikeyd/internal/mail"
)

// load runs Load as serve would: with flags args, variables env ("APIKEYD_X=y") and a file of this text, which is
// called apikeyd.toml in the working directory; "" is no file.
func load(t *testing.T, file string, env []string, args ...string) (*Config, []Problem, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		write(t, "apikeyd.toml", file)
		args = append(args, "--config", "apikeyd.toml")
	}
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(source(fs, env))
}

func source(fs *pflag.FlagSet, env []string) Source {
	return Source{
		Flags:   fs,
		Environ: env,
		LookupEnv: func(name string) (string, bool) {
			for _, entry := range env {
				if n, value, _ := strings.Cut(entry, "="); n == name {
					return value, true
				}
			}
			return "", false
		},
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// exactly compares configurations, with what they hide.
var exactly = cmp.Options{cmp.AllowUnexported(Tokens{}, Secret{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

// problems returns the lines of an *Error.
func problems(t *testing.T, err error) []string {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if err == nil {
		return nil
	}
	if !ok {
		t.Fatalf("error is a %T: %v", err, err)
	}
	return strings.Split(e.Error(), "\n")
}

func TestDefaults(t *testing.T) {
	want := &Config{
		Database:          Database{Path: "apikeyd.db"},
		Lease:             2 * time.Second,
		LimitsFallback:    "open",
		Listen:            Address{"tcp", ":8080"},
		VerifyListen:      Address{"tcp", "127.0.0.1:8081"},
		TokenPrefix:       "ak",
		SessionIdle:       12 * time.Hour,
		SessionLifetime:   7 * 24 * time.Hour,
		SMTP:              SMTP{TLS: mail.StartTLS},
		CacheSize:         256 << 20,
		NegativeCacheSize: 16 << 20,
		LogFormat:         "json",
		LogLevel:          slog.LevelInfo,
		LogChecks:         true,
		ShutdownTimeout:   30 * time.Second,
	}
	got, warnings, err := load(t, "", nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if diff := cmp.Diff(want, got, exactly); diff != "" {
		t.Error(diff)
	}
	if got := Default(true).LogFormat; got != "text" {
		t.Errorf("log format on a terminal = %q", got)
	}
	if got, _, err := Load(Source{}); err != nil || !cmp.Equal(want, got, exactly) {
		t.Errorf("Load of nothing = %+v, %v", got, err)
	}
}

func TestOrderOfSources(t *testing.T) {
	const file, env, flag = "listen = ':1'", "APIKEYD_LISTEN=:2", "--listen=:3"
	for _, tt := range []struct {
		name string
		file string
		env  []string
		args []string
		want string
	}{
		{"default", "", nil, nil, ":8080"},
		{"file", file, nil, nil, ":1"},
		{"environment over file", file, []string{env}, nil, ":2"},
		{"flag over environment", file, []string{env}, []string{flag}, ":3"},
		{"flag over file", file, nil, []string{flag}, ":3"},
		{"the last of two flags", "", nil, []string{"--listen=:4", flag}, ":3"},
		{"an empty variable counts as not set", file, []string{"APIKEYD_LISTEN="}, nil, ":1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := load(t, tt.file, tt.env, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if c.Listen.String() != tt.want {
				t.Errorf("listen = %s, want %s", c.Listen, tt.want)
			}
		})
	}
}

// TestEverySettingFromEverySource sets each setting in each of the three ways and looks at the field it fills.
func TestEverySettingFromEverySource(t *testing.T) {
	tests := map[string]struct {
		text string // as in a flag or a variable
		toml string // "": text in quotes
		got  func(*Config) any
		want any
	}{
		"database":       {text: "sqlite:/var/x.db", got: func(c *Config) any { return c.Database.Path }, want: "/var/x.db"},
		"lease":          {text: "1500ms", got: func(c *Config) any { return c.Lease }, want: 1500 * time.Millisecond},
		"stale-if-error": {text: "1m", got: func(c *Config) any { return c.StaleIfError }, want: time.Minute},
		"node-name":      {text: "node-a", got: func(c *Config) any { return c.NodeName }, want: "node-a"},
		"limits-store": {text: "redis://limits.example:6380/2", got: func(c *Config) any { return c.LimitsStore.URL.Reveal() },
			want: "redis://limits.example:6380/2"},
		"limits-store-password-file": {text: "s", got: func(c *Config) any { return c.LimitsStore.PasswordFile }, want: "s"},
		"limits-fallback":            {text: "closed", got: func(c *Config) any { return c.LimitsFallback }, want: "closed"},
		"listen":                     {text: "[::1]:80", got: func(c *Config) any { return c.Listen.Address }, want: "[::1]:80"},
		"tls-cert-file":              {text: "a.crt", got: func(c *Config) any { return c.TLS.CertFile }, want: "a.crt"},
		"tls-key-file":               {text: "a.key", got: func(c *Config) any { return c.TLS.KeyFile }, want: "a.key"},
		"public-url":                 {text: "https://k.example/", got: func(c *Config) any { return c.PublicURL }, want: "https://k.example"},
		"verify-listen":              {text: "unix:/x.sock", got: func(c *Config) any { return c.VerifyListen }, want: Address{"unix", "/x.sock"}},
		"verify-token-file":          {text: "t", got: func(c *Config) any { return c.VerifyTokenFile }, want: "t"},
		"verify-tls-cert-file":       {text: "b.crt", got: func(c *Config) any { return c.VerifyTLS.CertFile }, want: "b.crt"},
		"verify-tls-key-file":        {text: "b.key", got: func(c *Config) any { return c.VerifyTLS.KeyFile }, want: "b.key"},
		"verify-tls-client-ca-file":  {text: "ca", got: func(c *Config) any { return c.VerifyTLS.ClientCAFile }, want: "ca"},
		"verify-insecure":            {text: "true", toml: "true", got: func(c *Config) any { return c.VerifyInsecure }, want: true},
		"token-prefix":               {text: "acme", got: func(c *Config) any { return c.TokenPrefix }, want: "acme"},
		"cache-size":                 {text: "2097152", toml: "2_097_152", got: func(c *Config) any { return c.CacheSize }, want: 2 * MiB},
		"negative-cache-size":        {text: "64KiB", got: func(c *Config) any { return c.NegativeCacheSize }, want: 64 * KiB},
		"session-idle":               {text: "30m", got: func(c *Config) any { return c.SessionIdle }, want: 30 * time.Minute},
		"session-lifetime":           {text: "24h", got: func(c *Config) any { return c.SessionLifetime }, want: 24 * time.Hour},
		"grpc-listen":                {text: "127.0.0.1:8082", got: func(c *Config) any { return c.GRPCListen }, want: Address{"tcp", "127.0.0.1:8082"}},
		"grpc-tls-cert-file":         {text: "c.crt", got: func(c *Config) any { return c.GRPCTLS.CertFile }, want: "c.crt"},
		"grpc-tls-key-file":          {text: "c.key", got: func(c *Config) any { return c.GRPCTLS.KeyFile }, want: "c.key"},
		"grpc-tls-client-ca-file":    {text: "ca2", got: func(c *Config) any { return c.GRPCTLS.ClientCAFile }, want: "ca2"},
		"trusted-proxies": {text: "192.0.2.1, 10.0.0.0/8", got: func(c *Config) any { return fmt.Sprint(c.TrustedProxies) },
			want: "[192.0.2.1/32 10.0.0.0/8]"},
		"github-keys-url":         {text: "https://keys.example/github", got: func(c *Config) any { return c.GitHubKeysURL }, want: "https://keys.example/github"},
		"oidc-issuer":             {text: "https://login.example/", got: func(c *Config) any { return c.OIDC.Issuer }, want: "https://login.example/"},
		"oidc-client-id":          {text: "id", got: func(c *Config) any { return c.OIDC.ClientID }, want: "id"},
		"oidc-client-secret-file": {text: "s", got: func(c *Config) any { return c.OIDC.ClientSecretFile }, want: "s"},
		"oidc-audience":           {text: "us", got: func(c *Config) any { return c.OIDC.Audience }, want: "us"},
		"oidc-match-email":        {text: "true", toml: "true", got: func(c *Config) any { return c.OIDC.MatchEmail }, want: true},
		"smtp-address":            {text: "mail.example:25", got: func(c *Config) any { return c.SMTP.Address }, want: "mail.example:25"},
		"smtp-from":               {text: "Us <us@example.com>", got: func(c *Config) any { return c.SMTP.From }, want: "Us <us@example.com>"},
		"smtp-username":           {text: "us", got: func(c *Config) any { return c.SMTP.Username }, want: "us"},
		"smtp-password-file":      {text: "p", got: func(c *Config) any { return c.SMTP.PasswordFile }, want: "p"},
		"smtp-tls":                {text: "tls", got: func(c *Config) any { return c.SMTP.TLS }, want: mail.TLS},
		"audit-retention":         {text: "8760h", got: func(c *Config) any { return c.AuditRetention }, want: 365 * 24 * time.Hour},
		"log-format":              {text: "text", got: func(c *Config) any { return c.LogFormat }, want: "text"},
		"log-level":               {text: "warn", got: func(c *Config) any { return c.LogLevel }, want: slog.LevelWarn},
		"log-checks":              {text: "false", toml: "false", got: func(c *Config) any { return c.LogChecks }, want: false},
		"shutdown-delay":          {text: "5s", got: func(c *Config) any { return c.ShutdownDelay }, want: 5 * time.Second},
		"shutdown-timeout":        {text: "1m30s", got: func(c *Config) any { return c.ShutdownTimeout }, want: 90 * time.Second},
	}
	for i := range settings {
		s := &settings[i]
		if s.name == configFlag {
			continue
		}
		tt, ok := tests[s.name]
		if !ok {
			t.Errorf("%s is in no test", s.name)
			continue
		}
		if tt.toml == "" {
			tt.toml = `"` + tt.text + `"`
		}
		feed := map[string]func(*loader){
			"flag": func(l *loader) {
				if err := l.src.Flags.Set(s.name, tt.text); err != nil {
					t.Fatal(err)
				}
				l.readFlags()
			},
			"environment": func(l *loader) { l.readEnvironment() },
			"file":        func(l *loader) { l.readTOML("x.toml", []byte(s.name+" = "+tt.toml)) },
		}
		for name, read := range feed {
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			AddFlags(fs)
			l := newLoader(source(fs, []string{s.env() + "=" + tt.text}))
			read(l)
			if len(l.problems) > 0 || len(l.warnings) > 0 {
				t.Errorf("%s from %s: %v, %v", s.name, name, l.problems, l.warnings)
			}
			if got := tt.got(l.config); got != tt.want {
				t.Errorf("%s from %s = %v, want %v", s.name, name, got, tt.want)
			}
		}
	}
}

func TestEverythingWrongIsSaidAtOnce(t *testing.T) {
	_, _, err := load(t, "# a comment\nverify_listen = ':1'\ncache-size = \"12 parsecs\"\nlog-checks = 'no'\n",
		[]string{"APIKEYD_LISTEN=here", "APIKEYD_LOG_LEVEL=trace"},
		"--listen", "there", "--verify-listen", ":0", "--tls-key-file=k")
	want := []string{
		`apikeyd.toml:2: verify_listen: no setting has this name; did you mean verify-listen?`,
		`apikeyd.toml:3: cache-size: "12 parsecs" is no size; write a number with KiB, MiB or GiB, like 256MiB`,
		`apikeyd.toml:4: log-checks: is a string; write true or false, without quotes`,
		`environment APIKEYD_LISTEN: "here" is no address; write HOST:PORT like 127.0.0.1:8081, :8081 for every interface, or unix:/path/to.sock`,
		`environment APIKEYD_LOG_LEVEL: "trace" is none of debug, info, warn, error`,
		`--listen: "there" is no address; write HOST:PORT like 127.0.0.1:8081, :8081 for every interface, or unix:/path/to.sock`,
		`--tls-key-file: has no effect without --tls-cert-file; give both`,
		`--verify-listen: other machines can reach :0, and whoever reaches it can try out keys; give --verify-token-file, ` +
			`or mutual TLS with --verify-tls-client-ca-file, or, if the network keeps everybody else out, --verify-insecure`,
	}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Error(diff)
	}
}

func TestAShadowedValueIsCheckedToo(t *testing.T) {
	_, _, err := load(t, "listen = 'x'", nil, "--listen=:1")
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "apikeyd.toml:1: listen: ") {
		t.Errorf("problems = %q", got)
	}
}

// TestACommandReadsItsOwnSettingsOnly is backup on a machine where serve is set up for something it may not read.
func TestACommandReadsItsOwnSettingsOnly(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "apikeyd.toml", "database = 'sqlite:x.db'\ncache-size = 'lots'\nlisten = 1\ntls-cert-file = '/nowhere'\n")
	fs := pflag.NewFlagSet("backup", pflag.ContinueOnError)
	AddFlags(fs, "config", "database")
	fs.String("listen", "", "another flag of that name")
	src := source(fs, []string{"APIKEYD_CONFIG=apikeyd.toml", "APIKEYD_VERIFY_LISTEN=0.0.0.0:1"})
	if err := fs.Parse([]string{"--listen=x"}); err != nil {
		t.Fatal(err)
	}
	c, _, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.Path != "x.db" || c.CacheSize != 256*MiB || c.TLS.CertFile != "" || !c.VerifyListen.Local() {
		t.Errorf("config = %+v", c)
	}

	// A key that no setting has is a mistake for every command.
	write(t, "apikeyd.toml", "databse = 'sqlite:x.db'\n")
	_, _, err = Load(src)
	if got := problems(t, err); len(got) != 1 || !strings.Contains(got[0], "did you mean database?") {
		t.Errorf("problems = %q", got)
	}
}

func TestUnknownSettingOfAddFlagsPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	AddFlags(pflag.NewFlagSet("", pflag.ContinueOnError), "databse")
}

func TestBooleanFlagNeedsNoValue(t *testing.T) {
	c, _, err := load(t, "", nil, "--verify-insecure", "--log-checks=false")
	if err != nil || !c.VerifyInsecure || c.LogChecks {
		t.Errorf("config = %+v, %v", c, err)
	}
}

func TestNoSecretInAnError(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2-hunter2-hunter2"
	dir := t.TempDir()
	short, control := filepath.Join(dir, "short"), filepath.Join(dir, "control")
	write(t, control, secret+"\x7f\n")
	write(t, short, secret[:31]+"\n"+secret+"\x7f\n")
	for _, args := range [][]string{
		{"--database", "postgres://admin:" + secret + "@db"},
		{"--database", "postgres://admin:" + secret + "@db/keys#x"},
		{"--database", "postgres://admin:" + secret + "@db:port/keys"},
		{"--database", "postgres:admin:" + secret + "@db/keys"},
		{"--database", "host=db password=" + secret},
		{"--database", secret},
		{"--database", "mysql://" + secret},
		{"--database", "sqlite://" + secret},
		{"--limits-store", secret},
		{"--limits-store", "redis://:" + secret + "@"},
		{"--limits-store", "redis://:" + secret + "@limits:port"},
		{"--limits-store", "redis://:" + secret + "@limits:0"},
		{"--limits-store", "redis://:" + secret + "@limits/name"},
		{"--limits-store", "redis://:" + secret + "?@limits"},
		{"--limits-store", "http://:" + secret + "@limits"},
		{"--limits-store", "redis://limits", "--limits-store-password-file", secret},
		{"--public-url", "https://admin:" + secret + "@keys.example.com"},
		{"--listen", "http://admin:" + secret + "@0.0.0.0:8080"},
		{"--verify-token-file", secret},
		{"--verify-token-file", short},
		{"--oidc-client-secret-file", secret, "--oidc-issuer=https://login.example", "--oidc-client-id=x", "--public-url=https://k.example"},
		{"--oidc-client-secret-file", secret},
		{"--oidc-issuer", "https://admin:" + secret + "@login.example"},
		{"--smtp-password-file", secret, "--smtp-username=x", "--smtp-address=m.example:25", "--smtp-from=a@b.example", "--public-url=https://k.example"},
		{"--smtp-password-file", control, "--smtp-username=x", "--smtp-address=m.example:25", "--smtp-from=a@b.example", "--public-url=https://k.example"},
		{"--smtp-address", "smtp://admin:" + secret + "@mail.example.com:587"},
	} {
		_, _, err := load(t, "", nil, args...)
		if err == nil {
			t.Errorf("%q: accepted", args)
		} else if strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%q: the secret is in the error: %v", args, err)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	_, warnings, err := load(t, "", []string{
		"PATH=/bin", "APIKEYDX=1", // another program's
		"APIKEYD_LISTEN=:1", "APIKEYD_VERIFY_TOKEN_FILE=", // settings
		"APIKEYD_KEY=ak_secret", "APIKEYD_SERVER=x", "APIKEYD_VERIFY_SERVER=x", // the client commands'
		"APIKEYD_PORT=tcp://10.0.0.1:8080", "APIKEYD_SERVICE_HOST=10.0.0.1", "APIKEYD_SERVICE_PORT=8080",
		"APIKEYD_SERVICE_PORT_HTTP=8080", "APIKEYD_PORT_8080_TCP=x", "APIKEYD_PORT_8080_TCP_ADDR=x",
		"APIKEYD_PORT_8080_TCP_PORT=x", "APIKEYD_PORT_8080_TCP_PROTO=tcp",
		"APIKEYD_VERIFY_PORT=x", "APIKEYD_VERIFY_SERVICE_HOST=x", "APIKEYD_VERIFY_PORT_8081_TCP=x", // Kubernetes'
		"APIKEYD_VERIFYLISTEN=0.0.0.0:1", "APIKEYD_COLOUR=secret", "APIKEYD_verify_listen=x",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
	}
	want := []string{
		"environment APIKEYD_COLOUR: no setting has this name, so it has no effect",
		"environment APIKEYD_VERIFYLISTEN: no setting has this name, so it has no effect; did you mean APIKEYD_VERIFY_LISTEN?",
		"environment APIKEYD_verify_listen: no setting has this name, so it has no effect; did you mean APIKEYD_VERIFY_LISTEN?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestNoVariableCanBeSetByKubernetes keeps a setting from getting a name that a service link has too.
func TestNoVariableCanBeSetByKubernetes(t *testing.T) {
	for _, s := range Settings() {
		if serviceLink.MatchString(s.Env) || slices.Contains(clientVariables, s.Env) {
			t.Errorf("%s has another meaning", s.Env)
		}
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.toml", "listen = ':1'")
	write(t, "b.toml", "listen = ':2'")
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(fs)
	src := source(fs, []string{"APIKEYD_CONFIG=a.toml"})
	c, _, err := Load(src)
	if err != nil || c.Listen.Address != ":1" || c.File != "a.toml" {
		t.Fatalf("config = %+v, %v", c, err)
	}
	if err := fs.Set("config", "b.toml"); err != nil {
		t.Fatal(err)
	}
	if c, _, err = Load(src); err != nil || c.Listen.Address != ":2" {
		t.Errorf("config = %+v, %v", c, err)
	}
	_, _, err = Load(source(nil, []string{"APIKEYD_CONFIG=c.toml"}))
	if diff := cmp.Diff([]string{`environment APIKEYD_CONFIG: "c.toml": there is no such file`}, problems(t, err)); diff != "" {
		t.Error(diff)
	}
}
