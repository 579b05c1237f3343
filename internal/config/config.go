// Package config turns flags, environment variables and an optional file into one checked Config.
//
// One table (settings.go) says everything about each setting: its name, its default, what it means and how it is
// read. The flags, the environment variables, the keys of the file, the help, the reference page and the sample file
// all follow from that table, so they cannot drift apart. A setting that is called verify-listen is the flag
// --verify-listen, the environment variable APIKEYD_VERIFY_LISTEN and the key verify-listen in the file. Flags win
// over the environment, that over the file, that over the default.
//
// Load refuses to guess. A value that cannot be read, an unknown key, a setting at odds with another: each is an
// error with its place and what would be right, and all of them are reported at once. A value is checked even where
// another source overrides it, because the day it is no longer overridden is a bad day to find out.
//
// Secrets never stand in a setting: they are in files that a setting names. The values that tend to hold one by
// mistake, a database URL with a password or a token in place of the path to it, are not repeated in any error.
//
// The package opens no listener and no database. It knows nothing of the client commands' settings, apart from the
// names of their environment variables.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/apikeyd/apikeyd/internal/rules"
)

// Config is everything that a server is told at its start. Fields that are not set hold their default.
type Config struct {
	// File is the path of the configuration file; "": none.
	File string

	// Database is where everything is kept.
	Database Database

	// Lease is how long a node answers from memory without word from the database, and StaleIfError for how long after that
	// while the database is away. NodeName is what people call it. They mean something with PostgreSQL alone.
	Lease        time.Duration
	StaleIfError time.Duration
	NodeName     string

	// LimitsStore counts requests against limits for all nodes together; none: each node does it by itself. LimitsFallback is what
	// happens while it is away, "open" or "closed".
	LimitsStore    LimitsStore
	LimitsFallback string

	// Listen is the address of the management API, and TLS its certificate; a zero TLS is plain HTTP.
	Listen Address
	TLS    TLS

	// PublicURL is how clients reach the management listener, without a slash at its end:
	// "https://keys.example.com". "": not known.
	PublicURL string

	// VerifyListen is the address of the verification listener, and VerifyTLS its certificate; with a ClientCAFile
	// clients must show a certificate too.
	VerifyListen Address
	VerifyTLS    TLS
	// VerifyTokens are the bearer tokens that the verification listener takes, as they stood in VerifyTokenFile at
	// the start. Where there are any, on whatever address, a request needs one of them.
	VerifyTokenFile string
	VerifyTokens    Tokens
	// VerifyInsecure lets the verification listener be reached from other machines without a credential. It lifts
	// the refusal to start and nothing else: a token or certificate that is asked for is still asked for.
	VerifyInsecure bool

	// GRPCListen is the address of Envoy's external authorization by gRPC, and GRPCTLS its certificate; a zero GRPCListen is none.
	// It asks for the same credentials as the verification listener.
	GRPCListen Address
	GRPCTLS    TLS

	// Rules say what requests to the API behind us need; nil: there are none. They stand in the file alone.
	Rules *rules.Set

	// TokenPrefix begins the tokens of new keys.
	TokenPrefix string

	// SessionIdle is how long a session lives that nobody uses, SessionLifetime how long it lives at most.
	SessionIdle     time.Duration
	SessionLifetime time.Duration
	// TrustedProxies are the networks whose X-Forwarded-For says who the client is.
	TrustedProxies []netip.Prefix

	// OIDC is the provider that people may sign in with; a zero OIDC is none.
	OIDC OIDC

	// SMTP is the server that takes mails; one that is not Enabled is none.
	SMTP SMTP

	// GitHubKeysURL is where GitHub publishes the keys that its secret scanning signs with; "": its messages are not taken.
	GitHubKeysURL string

	// AuditRetention is how long entries of the audit log are kept; 0: for ever.
	AuditRetention time.Duration

	// CacheSize bounds the memory of the cache of keys, NegativeCacheSize that of the tokens known to be unknown.
	CacheSize         Size // bytes
	NegativeCacheSize Size // bytes

	// LogFormat is "text" or "json".
	LogFormat string
	// LogLevel is the lowest level that is logged.
	LogLevel slog.Level
	// LogChecks asks for a log line for each request that succeeded on the verification listener. Those that failed
	// are logged either way.
	LogChecks bool

	// ShutdownDelay is how long /readyz says no before the listeners close; ShutdownTimeout how long requests under
	// way then have to end.
	ShutdownDelay   time.Duration
	ShutdownTimeout time.Duration
}

// Source is where settings are read from.
type Source struct {
	// Flags holds the flags that AddFlags put there, parsed. Only the settings that have a flag in it are read, from
	// whatever source; the others keep their defaults. That is how a command that needs the database alone does not
	// stumble over a certificate it may not read. nil: every setting, and no flags.
	Flags *pflag.FlagSet

	// Rules asks for the rules where Flags do not: they are read by whoever reads verify-listen.
	Rules bool

	// Again says that the file was read before. One that is empty then is most likely being written, and is refused.
	Again bool

	// LookupEnv is os.LookupEnv, or stands in for it; nil: no environment. A variable that is set but empty counts
	// as not set.
	LookupEnv func(name string) (value string, ok bool)

	// Environ is os.Environ(), or stands in for it. It serves to find misspelt variables and nothing else.
	Environ []string

	// Terminal says that standard error is a terminal; it decides the default of log-format.
	Terminal bool
}

// Default returns the Config of a server that is told nothing.
func Default(terminal bool) *Config {
	c := new(Config)
	for i := range settings {
		if err := settings[i].parse(c, settings[i].preset); err != nil {
			panic("default of " + settings[i].name + ": " + err.Error())
		}
	}
	if terminal {
		c.LogFormat = LogText
	} else {
		c.LogFormat = LogJSON
	}
	return c
}

// Load reads and checks the settings. The error is an *Error that holds everything that is wrong; the file system is
// asked for the configuration file, the files of tokens and secrets, and the certificates. Warnings are for the log, and come with an
// error too.
func Load(src Source) (c *Config, warnings []Problem, err error) {
	l := newLoader(src)
	l.readFile()
	l.readEnvironment()
	l.readFlags()
	l.check()
	if len(l.problems) > 0 {
		return nil, l.warnings, &Error{Problems: l.problems}
	}
	return l.config, l.warnings, nil
}
