package config

import (
	"fmt"

	"github.com/apikeyd/apikeyd/internal/mail"
)

// check holds the settings against each other and against the file system.
func (l *loader) check() {
	l.checkListeners()
	l.checkTLS("", l.config.TLS)
	l.checkTLS("verify-", l.config.VerifyTLS)
	l.checkTLS("grpc-", l.config.GRPCTLS)
	l.readTokens()
	l.checkReach("verify-", l.config.VerifyListen, l.config.VerifyTLS)
	l.checkReach("grpc-", l.config.GRPCListen, l.config.GRPCTLS)
	l.checkSessions()
	l.checkProxies()
	l.checkOIDC()
	l.checkMail()
	l.checkCluster()
	l.checkLimits()
}

// checkCluster warns of settings of several nodes where there is one. It is no error: a file for all machines may hold them, or one
// that is about to move to PostgreSQL.
func (l *loader) checkCluster() {
	if !l.good("database") || l.config.Database.Postgres.Given() {
		return
	}
	for _, name := range []string{"lease", "stale-if-error", "node-name"} {
		if l.given(name) && !l.bad[name] {
			l.warnings = append(l.warnings, Problem{l.place(name), "has no effect with SQLite, where there is one node"})
		}
	}
}

// checkListeners refuses two listeners on one address.
func (l *loader) checkListeners() {
	c := l.config
	l.checkApart("listen", c.Listen, "verify-listen", c.VerifyListen)
	l.checkApart("listen", c.Listen, "grpc-listen", c.GRPCListen)
	l.checkApart("verify-listen", c.VerifyListen, "grpc-listen", c.GRPCListen)
	for _, name := range []string{"grpc-tls-cert-file", "grpc-tls-key-file", "grpc-tls-client-ca-file"} {
		if l.good("grpc-listen", name) && l.given(name) && c.GRPCListen == (Address{}) {
			l.lacks(name, "grpc-listen")
		}
	}
}

// checkApart blames the second of two listeners that cannot both have their address, unless only the first one was given.
func (l *loader) checkApart(other string, otherAddress Address, blamed string, address Address) {
	if !l.good(other, blamed) || !otherAddress.Overlaps(address) {
		return
	}
	if !l.given(blamed) {
		blamed, other, otherAddress = other, blamed, address
	}
	l.problem(l.place(blamed), fmt.Sprintf("takes the address that --%s has (%s); give it another port", other, otherAddress))
}

// checkTLS refuses a certificate without its key and the other way round, and files that cannot be used. The names
// of the settings begin with prefix.
func (l *loader) checkTLS(prefix string, t TLS) {
	cert, key, clientCA := prefix+"tls-cert-file", prefix+"tls-key-file", prefix+"tls-client-ca-file"
	if !l.good(cert, key, clientCA) {
		return
	}
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		l.lacks(cert, key)
	case t.KeyFile != "" && t.CertFile == "":
		l.lacks(key, cert)
	case t.ClientCAFile != "" && t.CertFile == "":
		l.lacks(clientCA, cert)
	default:
		_, faults := t.load()
		for _, f := range faults {
			name := prefix + f.setting
			l.refuse(lookup(name), l.place(name), f.err.Error())
		}
	}
}

func (l *loader) lacks(name, other string) {
	l.refuse(lookup(name), l.place(name), "has no effect without --"+other+"; give both")
}

// readTokens reads the token file.
func (l *loader) readTokens() {
	const name = "verify-token-file"
	path := l.config.VerifyTokenFile
	if !l.good(name) || path == "" {
		return
	}
	readSecrets(l, name, path, maxTokenFile, &l.config.VerifyTokens, ParseTokens)
}

// readSecrets reads what the file at path, which is the value of the setting called name, holds.
func readSecrets[T any](l *loader, name, path string, limit Size, into *T, parse func([]byte) (T, error)) {
	data, err := readFile(path, limit)
	if err != nil {
		l.refuse(lookup(name), l.place(name), err.Error()+
			" (give the path of the file that holds the secret; the value is not repeated here, in case it is the secret)")
		return
	}
	if *into, err = parse(data); err != nil {
		l.refuse(lookup(name), l.place(name), err.Error())
	}
}

// checkReach refuses a listener for services that other machines can reach and that asks for no credential: it tells whoever asks which
// tokens are good. The names of its settings begin with prefix.
func (l *loader) checkReach(prefix string, address Address, t TLS) {
	c := l.config
	listen, cert, key, clientCA := prefix+"listen", prefix+"tls-cert-file", prefix+"tls-key-file", prefix+"tls-client-ca-file"
	if address == (Address{}) || address.Local() || !l.good(listen, "verify-token-file", cert, key, clientCA, "verify-insecure") {
		return
	}
	protected := c.VerifyTokens.Len() > 0 || t.Mutual()
	switch place := l.place(listen); {
	case !protected && !c.VerifyInsecure:
		l.problem(place, fmt.Sprintf("other machines can reach %s, and whoever reaches it can try out keys; give "+
			"--verify-token-file, or mutual TLS with --%s, or, if the network keeps everybody "+
			"else out, --verify-insecure", address, clientCA))
	case !protected:
		l.warn(place, fmt.Sprintf("whoever reaches %s can try out keys, because of --verify-insecure", address))
	case !t.Enabled():
		l.warn(place, fmt.Sprintf("tokens and keys reach %s unencrypted; give --%s, unless the "+
			"network is encrypted", address, cert))
	}
}

// checkSessions refuses a session that would live longer without use than with it.
func (l *loader) checkSessions() {
	const idle, lifetime = "session-idle", "session-lifetime"
	c := l.config
	switch {
	case !l.good(idle, lifetime) || c.SessionIdle <= c.SessionLifetime:
	case l.given(lifetime):
		l.problem(l.place(lifetime), fmt.Sprintf("%s is shorter than --%s, which is %s; a session cannot live longer without use "+
			"than at most", inUnits(c.SessionLifetime), idle, inUnits(c.SessionIdle)))
	default:
		l.problem(l.place(idle), fmt.Sprintf("%s is longer than --%s, which is %s; a session cannot live longer without use "+
			"than at most", inUnits(c.SessionIdle), lifetime, inUnits(c.SessionLifetime)))
	}
}

// checkProxies warns where everybody is taken for a proxy.
func (l *loader) checkProxies() {
	const name = "trusted-proxies"
	for _, p := range l.config.TrustedProxies {
		if p.Bits() == 0 && l.good(name) {
			l.warn(l.place(name), fmt.Sprintf("with %s, whoever connects is believed to be a proxy, and can say that a request comes "+
				"from any address; name the proxies", p))
		}
	}
}

// part is a setting of a group that stands or falls as a whole.
type part struct {
	name  string
	given bool
}

// firstGiven returns the name of the first part that is given, or "".
func firstGiven(parts ...part) string {
	for _, p := range parts {
		if p.given {
			return p.name
		}
	}
	return ""
}

// checkOIDC refuses half a provider, and reads its secret.
func (l *loader) checkOIDC() {
	const issuer, clientID, secretFile = "oidc-issuer", "oidc-client-id", "oidc-client-secret-file"
	o := &l.config.OIDC
	first := firstGiven(part{issuer, o.Issuer != ""}, part{clientID, o.ClientID != ""}, part{secretFile, o.ClientSecretFile != ""},
		part{"oidc-audience", o.Audience != ""}, part{"oidc-match-email", o.MatchEmail})
	if first == "" || !l.good(issuer, clientID, secretFile, "oidc-audience", "oidc-match-email") {
		return
	}
	if o.Issuer == "" {
		l.lacks(first, issuer)
	}
	if o.ClientID == "" {
		l.lacks(first, clientID)
	}
	if l.config.PublicURL == "" && l.good("public-url") {
		l.problem(l.place(first), "needs --public-url: a provider sends people back to PUBLIC-URL/sign-in/oidc/callback")
	}
	if o.Audience == "" {
		o.Audience = o.ClientID
	}
	if o.ClientSecretFile != "" {
		readSecrets(l, secretFile, o.ClientSecretFile, maxSecretFile, &o.ClientSecret, ParseSecret)
	}
}

// checkMail refuses half a mail server, and one that a password or a link would reach in the clear. It reads the
// password.
func (l *loader) checkMail() {
	const address, from, user, passwordFile, encryption = "smtp-address", "smtp-from", "smtp-username", "smtp-password-file", "smtp-tls"
	s := &l.config.SMTP
	first := firstGiven(part{address, s.Address != ""}, part{from, s.From != ""}, part{user, s.Username != ""},
		part{passwordFile, s.PasswordFile != ""}, part{encryption, s.TLS != mail.StartTLS})
	if first == "" || !l.good(address, from, user, passwordFile, encryption) {
		return
	}
	if s.Address == "" {
		l.lacks(first, address)
	}
	if s.From == "" {
		l.lacks(first, from)
	}
	if l.config.PublicURL == "" && l.good("public-url") {
		l.problem(l.place(first), "needs --public-url: the links in mails begin with it")
	}
	switch {
	case s.Username != "" && s.PasswordFile == "":
		l.lacks(user, passwordFile)
	case s.Username == "" && s.PasswordFile != "":
		l.lacks(passwordFile, user)
	case s.PasswordFile != "":
		readSecrets(l, passwordFile, s.PasswordFile, maxSecretFile, &s.Password, ParseSecret)
	}
	if s.TLS != mail.None || s.Address == "" || loopback(s.host()) {
		return
	}
	if s.Username != "" {
		l.problem(l.place(encryption), fmt.Sprintf("none would send the password to %s unencrypted; write starttls or tls", s.Address))
	} else {
		l.warn(l.place(encryption), fmt.Sprintf("links to sign in with reach %s unencrypted; write starttls or tls, unless the "+
			"network is encrypted", s.Address))
	}
}

func (l *loader) warn(place, reason string) {
	l.warnings = append(l.warnings, Problem{Place: place, Reason: reason})
}
