package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/apikeyd/apikeyd/internal/mail"
	"github.com/apikeyd/apikeyd/internal/token"
)

// The headings, in the order in which they are shown.
const (
	groupGeneral  group = "General"
	groupAPI      group = "Management API"
	groupVerify   group = "Verification listener"
	groupGRPC     group = "Envoy by gRPC"
	groupCluster  group = "Several nodes"
	groupKeys     group = "Keys and caches"
	groupSignIn   group = "Signing in"
	groupOIDC     group = "OpenID Connect"
	groupMail     group = "Mail"
	groupLeaks    group = "Leaked keys"
	groupAudit    group = "Audit log"
	groupLog      group = "Logging"
	groupShutdown group = "Shutting down"
)

// The values of log-format.
const (
	LogText = "text" // key=value, for people
	LogJSON = "json" // one JSON object a line, for programs
)

// configFlag is the name of the one setting that is read before the others.
const configFlag = "config"

// settings is the table. Everything that is said about a setting anywhere comes from here.
var settings = []setting{
	{
		name: configFlag, group: groupGeneral, placeholder: "FILE", noFile: true,
		help:  "read settings from this TOML file; its keys are the names of these flags without the dashes in front",
		parse: optional(func(c *Config) *string { return &c.File }, parsePath),
	},
	{
		name: "database", group: groupGeneral, placeholder: "DSN", preset: "sqlite:apikeyd.db",
		help: "where everything is kept: sqlite:PATH, or postgres://USER@HOST:PORT/NAME for several nodes. Serve and init make " +
			"the file or the schema where there is none. pool_max_conns and other settings of the connection may stand in the URL. Everybody on the machine can see a flag in " +
			"ps: keep a password in the environment, in the file, or in the file that PGPASSFILE names",
		parse: to(func(c *Config) *Database { return &c.Database }, ParseDatabase),
	},

	{
		name: "lease", group: groupCluster, placeholder: "DURATION", preset: "2s",
		help: "with PostgreSQL: how long a node answers from memory without word from the database, from 500ms to 30s. A change " +
			"waits at most a little longer than this for a node that is dead or cut off",
		parse: to(func(c *Config) *time.Duration { return &c.Lease }, between(500*time.Millisecond, 30*time.Second)),
	},
	{
		name: "stale-if-error", group: groupCluster, placeholder: "DURATION", preset: "0s",
		help: "with PostgreSQL: for how long after the end of the lease keys in memory are still answered for while the database " +
			"is away. A key that was deleted meanwhile may then be found valid for that long; 0s refuses instead (503)",
		parse: to(func(c *Config) *time.Duration { return &c.StaleIfError }, parseDuration),
	},
	{
		name: "node-name", group: groupCluster, placeholder: "NAME", presetText: "the host's name", sample: "keys-1",
		help:  "with PostgreSQL: what apikeyd nodes, logs and metrics call this node",
		parse: optional(func(c *Config) *string { return &c.NodeName }, parseNodeName),
	},
	{
		name: "limits-store", group: groupCluster, placeholder: "URL", sample: "redis://limits.internal:6379",
		help: "Valkey or Redis server that counts requests against the limits of keys for all nodes together: " +
			"redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS. Without it, each node counts by itself. Everybody on the machine can " +
			"see a flag in ps: keep a password in the environment, in the file, or in --limits-store-password-file",
		parse: optional(func(c *Config) *Secret { return &c.LimitsStore.URL }, parseLimitsStore),
	},
	{
		name: "limits-store-password-file", group: groupCluster, placeholder: "FILE", sample: "/etc/apikeyd/limits-store-password",
		help:  "file whose first line that is not empty is the password at --limits-store; it goes before one in the URL",
		parse: optional(func(c *Config) *string { return &c.LimitsStore.PasswordFile }, parsePath),
	},
	{
		name: "limits-fallback", group: groupCluster, placeholder: "open|closed", preset: FallbackOpen,
		help: "what becomes of checks of keys with limits while --limits-store is away: with open, each node counts by itself; with " +
			"closed, they cannot be answered (503). Keys without limits do not depend on it",
		parse: to(func(c *Config) *string { return &c.LimitsFallback }, oneOf(FallbackOpen, FallbackClosed)),
	},

	{
		name: "listen", group: groupAPI, placeholder: "ADDRESS", preset: ":8080",
		help:  "address of the management API: HOST:PORT, :PORT for every interface, or unix:/path/to.sock",
		parse: to(func(c *Config) *Address { return &c.Listen }, ParseAddress),
	},
	{
		name: "tls-cert-file", group: groupAPI, placeholder: "FILE", sample: "/etc/apikeyd/tls.crt",
		help:  "certificate of the management API, in PEM, with its intermediate certificates behind it; makes it speak HTTPS; read again when it has changed",
		parse: optional(func(c *Config) *string { return &c.TLS.CertFile }, parsePath),
	},
	{
		name: "tls-key-file", group: groupAPI, placeholder: "FILE", sample: "/etc/apikeyd/tls.key",
		help:  "private key to --tls-cert-file, in PEM",
		parse: optional(func(c *Config) *string { return &c.TLS.KeyFile }, parsePath),
	},
	{
		name: "public-url", group: groupAPI, placeholder: "URL", sample: "https://keys.example.com",
		help: "URL under which clients reach the management API, for example through a proxy; in what is printed, in " +
			"mails, and where an OpenID provider sends people back to",
		parse: optional(func(c *Config) *string { return &c.PublicURL }, parsePublicURL),
	},

	{
		name: "verify-listen", group: groupVerify, placeholder: "ADDRESS", preset: "127.0.0.1:8081",
		help: "address of the verification listener, for your own services, with /livez, /readyz and /metrics: " +
			"HOST:PORT or unix:/path/to.sock. Beyond loopback it needs --verify-token-file, mutual TLS or --verify-insecure",
		parse: to(func(c *Config) *Address { return &c.VerifyListen }, ParseAddress),
	},
	{
		name: "verify-token-file", group: groupVerify, placeholder: "FILE", sample: "/etc/apikeyd/verify-token",
		help: "file with the bearer token that requests on the verification listener must carry: at least 32 " +
			"characters of visible ASCII. Each line is a valid token, so that one can be rotated",
		parse: optional(func(c *Config) *string { return &c.VerifyTokenFile }, parsePath),
	},
	{
		name: "verify-tls-cert-file", group: groupVerify, placeholder: "FILE", sample: "/etc/apikeyd/verify-tls.crt",
		help:  "certificate of the verification listener, in PEM; makes it speak HTTPS; read again when it has changed",
		parse: optional(func(c *Config) *string { return &c.VerifyTLS.CertFile }, parsePath),
	},
	{
		name: "verify-tls-key-file", group: groupVerify, placeholder: "FILE", sample: "/etc/apikeyd/verify-tls.key",
		help:  "private key to --verify-tls-cert-file, in PEM",
		parse: optional(func(c *Config) *string { return &c.VerifyTLS.KeyFile }, parsePath),
	},
	{
		name: "verify-tls-client-ca-file", group: groupVerify, placeholder: "FILE", sample: "/etc/apikeyd/clients-ca.crt",
		help: "certificates of the authorities, in PEM, one of which must have signed the client's certificate " +
			"(mutual TLS)",
		parse: optional(func(c *Config) *string { return &c.VerifyTLS.ClientCAFile }, parsePath),
	},
	{
		name: "verify-insecure", group: groupVerify, kind: boolean, preset: "false",
		help: "let other machines reach the verification listener without a credential. Only where the network " +
			"itself keeps everybody else out",
		parse: to(func(c *Config) *bool { return &c.VerifyInsecure }, parseBool),
	},

	{
		name: "grpc-listen", group: groupGRPC, placeholder: "ADDRESS", sample: "127.0.0.1:8082",
		help: "address of Envoy's external authorization by gRPC: HOST:PORT or unix:/path/to.sock. Beyond loopback it needs " +
			"--verify-token-file, mutual TLS or --verify-insecure, as --verify-listen does",
		parse: optional(func(c *Config) *Address { return &c.GRPCListen }, ParseAddress),
	},
	{
		name: "grpc-tls-cert-file", group: groupGRPC, placeholder: "FILE", sample: "/etc/apikeyd/grpc-tls.crt",
		help:  "certificate of that listener, in PEM; makes it speak TLS; read again when it has changed",
		parse: optional(func(c *Config) *string { return &c.GRPCTLS.CertFile }, parsePath),
	},
	{
		name: "grpc-tls-key-file", group: groupGRPC, placeholder: "FILE", sample: "/etc/apikeyd/grpc-tls.key",
		help:  "private key to --grpc-tls-cert-file, in PEM",
		parse: optional(func(c *Config) *string { return &c.GRPCTLS.KeyFile }, parsePath),
	},
	{
		name: "grpc-tls-client-ca-file", group: groupGRPC, placeholder: "FILE", sample: "/etc/apikeyd/clients-ca.crt",
		help: "certificates of the authorities, in PEM, one of which must have signed the certificate of the client " +
			"(mutual TLS)",
		parse: optional(func(c *Config) *string { return &c.GRPCTLS.ClientCAFile }, parsePath),
	},

	{
		name: "token-prefix", group: groupKeys, placeholder: "PREFIX", preset: token.DefaultPrefix,
		help:  "what the tokens of new keys begin with. Tokens made under another prefix go on working",
		parse: to(func(c *Config) *string { return &c.TokenPrefix }, parseTokenPrefix),
	},
	{
		name: "cache-size", group: groupKeys, kind: byteSize, placeholder: "SIZE", preset: "256MiB",
		help:  "memory for the cache of keys, at least 1MiB",
		parse: to(func(c *Config) *Size { return &c.CacheSize }, atLeast(1*MiB)),
	},
	{
		name: "negative-cache-size", group: groupKeys, kind: byteSize, placeholder: "SIZE", preset: "16MiB",
		help: "memory for the cache of tokens known to be unknown, at least 64KiB. It is apart from --cache-size, so " +
			"that a flood of unknown tokens drives out no key",
		parse: to(func(c *Config) *Size { return &c.NegativeCacheSize }, atLeast(64*KiB)),
	},

	{
		name: "session-idle", group: groupSignIn, placeholder: "DURATION", preset: "12h",
		help:  "how long after its last use a session ends, at least 5m",
		parse: to(func(c *Config) *time.Duration { return &c.SessionIdle }, noShorter(5*time.Minute)),
	},
	{
		name: "session-lifetime", group: groupSignIn, placeholder: "DURATION", preset: "168h",
		help:  "how long after signing in a session ends, however much it is used; at least as long as --session-idle",
		parse: to(func(c *Config) *time.Duration { return &c.SessionLifetime }, noShorter(5*time.Minute)),
	},
	{
		name: "trusted-proxies", group: groupSignIn, placeholder: "NETWORKS", sample: "127.0.0.1, 10.0.0.0/8, 2001:db8::/32",
		help: "IP addresses and networks, with commas between them, of the proxies in front of apikeyd: only their " +
			"X-Forwarded-For is believed to name the client",
		parse: optional(func(c *Config) *[]netip.Prefix { return &c.TrustedProxies }, ParseProxies),
	},

	{
		name: "oidc-issuer", group: groupOIDC, placeholder: "URL", sample: "https://login.example.com",
		help: "OpenID provider that people may sign in with, and whose access tokens the API takes: its issuer, exactly as the " +
			"provider writes it. It needs --oidc-client-id and --public-url; tell the provider to send people back to " +
			"PUBLIC-URL/sign-in/oidc/callback",
		parse: optional(func(c *Config) *string { return &c.OIDC.Issuer }, parseIssuer),
	},
	{
		name: "oidc-client-id", group: groupOIDC, placeholder: "ID", sample: "apikeyd",
		help:  "what the provider calls this server",
		parse: optional(func(c *Config) *string { return &c.OIDC.ClientID }, parseName),
	},
	{
		name: "oidc-client-secret-file", group: groupOIDC, placeholder: "FILE", sample: "/etc/apikeyd/oidc-client-secret",
		help: "file whose first line that is not empty is the secret that the provider gave this server. Without it, the " +
			"server proves by PKCE alone that a sign-in is its own",
		parse: optional(func(c *Config) *string { return &c.OIDC.ClientSecretFile }, parsePath),
	},
	{
		name: "oidc-audience", group: groupOIDC, placeholder: "AUDIENCE", presetText: "the value of --oidc-client-id",
		sample: "https://keys.example.com",
		help:   "what an access token must be meant for (aud) so that the API takes it",
		parse:  optional(func(c *Config) *string { return &c.OIDC.Audience }, parseName),
	},
	{
		name: "oidc-match-email", group: groupOIDC, kind: boolean, preset: "false",
		help: "let an e-mail address that the provider says it has verified find the user who signs in for the first time. " +
			"Only where nobody can get another's address verified there",
		parse: to(func(c *Config) *bool { return &c.OIDC.MatchEmail }, parseBool),
	},

	{
		name: "smtp-address", group: groupMail, placeholder: "HOST:PORT", sample: "mail.example.com:587",
		help: "server that takes mails with one-time links, for invitations and lost passwords. It needs --smtp-from and " +
			"--public-url. Without it, links are handed out by those who administer",
		parse: optional(func(c *Config) *string { return &c.SMTP.Address }, parseMailServer),
	},
	{
		name: "smtp-from", group: groupMail, placeholder: "ADDRESS", sample: "Example Keys <keys@example.com>",
		help:  "e-mail address that mails are from, with or without a name",
		parse: optional(func(c *Config) *string { return &c.SMTP.From }, parseMailFrom),
	},
	{
		name: "smtp-username", group: groupMail, placeholder: "NAME", sample: "keys@example.com",
		help:  "user name at the mail server, where it asks for one; it needs the password too",
		parse: optional(func(c *Config) *string { return &c.SMTP.Username }, parseName),
	},
	{
		name: "smtp-password-file", group: groupMail, placeholder: "FILE", sample: "/etc/apikeyd/smtp-password",
		help:  "file whose first line that is not empty is the password that goes with the user name",
		parse: optional(func(c *Config) *string { return &c.SMTP.PasswordFile }, parsePath),
	},
	{
		name: "smtp-tls", group: groupMail, placeholder: "starttls|tls|none", preset: string(mail.StartTLS),
		help: "how the connection to the mail server is encrypted: by STARTTLS, which it must offer; from the first byte; or " +
			"not at all, which is refused with a user name, unless the server is on this machine",
		parse: to(func(c *Config) *mail.Mode { return &c.SMTP.TLS }, parseMailTLS),
	},

	{
		name: "github-keys-url", group: groupLeaks, placeholder: "URL", sample: "https://api.github.com/meta/public_keys/secret_scanning",
		help: "where GitHub publishes the keys that its secret scanning signs with; without it, POST /v1/leaked/github is not " +
			"there",
		parse: optional(func(c *Config) *string { return &c.GitHubKeysURL }, parseKeysURL),
	},

	{
		name: "audit-retention", group: groupAudit, placeholder: "DURATION", preset: "0s",
		help:  "how long entries of the audit log are kept, at least 24h; 0s is for ever",
		parse: to(func(c *Config) *time.Duration { return &c.AuditRetention }, parseRetention),
	},

	{
		name: "log-format", group: groupLog, placeholder: "text|json", presetText: "text on a terminal, else json",
		sample: LogJSON,
		help:   "how log lines are written to standard error",
		parse:  optional(func(c *Config) *string { return &c.LogFormat }, oneOf(LogText, LogJSON)),
	},
	{
		name: "log-level", group: groupLog, placeholder: "debug|info|warn|error", preset: "info",
		help:  "the lowest level that is logged",
		parse: to(func(c *Config) *slog.Level { return &c.LogLevel }, parseLevel),
	},
	{
		name: "log-checks", group: groupLog, kind: boolean, preset: "true",
		help: "log every check that is answered on the verification listener. A busy installation may switch this " +
			"off (--log-checks=false): requests that fail are logged all the same, and /metrics counts every outcome " +
			"and times every request, slow ones included",
		parse: to(func(c *Config) *bool { return &c.LogChecks }, parseBool),
	},

	{
		name: "shutdown-delay", group: groupShutdown, placeholder: "DURATION", preset: "0s",
		help: "how long /readyz says no before the listeners close, so that a load balancer can look elsewhere " +
			"first",
		parse: to(func(c *Config) *time.Duration { return &c.ShutdownDelay }, parseDuration),
	},
	{
		name: "shutdown-timeout", group: groupShutdown, placeholder: "DURATION", preset: "30s",
		help:  "how long requests under way have to end once the listeners have closed; then they are cut off",
		parse: to(func(c *Config) *time.Duration { return &c.ShutdownTimeout }, parseDuration),
	},
}
