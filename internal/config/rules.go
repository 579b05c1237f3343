package config

import "fmt"

// check holds the settings against each other and against the file system.
func (l *loader) check() {
	l.checkListeners()
	l.checkTLS("", l.config.TLS)
	l.checkTLS("verify-", l.config.VerifyTLS)
	l.readTokens()
	l.checkReach()
}

// checkListeners refuses two listeners on one address.
func (l *loader) checkListeners() {
	if !l.good("listen", "verify-listen") || !l.config.Listen.Overlaps(l.config.VerifyListen) {
		return
	}
	blamed, other, otherAddress := "verify-listen", "listen", l.config.Listen
	if !l.given(blamed) {
		blamed, other, otherAddress = "listen", "verify-listen", l.config.VerifyListen
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
	data, err := readFile(path, maxTokenFile)
	if err != nil {
		l.refuse(lookup(name), l.place(name), err.Error()+
			" (give the path of the file that holds the token; the value is not repeated here, in case it is the token)")
		return
	}
	if l.config.VerifyTokens, err = ParseTokens(data); err != nil {
		l.refuse(lookup(name), l.place(name), err.Error())
	}
}

// checkReach refuses a verification listener that other machines can reach and that asks for no credential: it tells
// whoever asks which tokens are good.
func (l *loader) checkReach() {
	c := l.config
	if c.VerifyListen.Local() || !l.good("verify-listen", "verify-token-file", "verify-tls-cert-file",
		"verify-tls-key-file", "verify-tls-client-ca-file", "verify-insecure") {
		return
	}
	protected := c.VerifyTokens.Len() > 0 || c.VerifyTLS.Mutual()
	switch place := l.place("verify-listen"); {
	case !protected && !c.VerifyInsecure:
		l.problem(place, fmt.Sprintf("other machines can reach %s, and whoever reaches it can try out keys; give "+
			"--verify-token-file, or mutual TLS with --verify-tls-client-ca-file, or, if the network keeps everybody "+
			"else out, --verify-insecure", c.VerifyListen))
	case !protected:
		l.warn(place, fmt.Sprintf("whoever reaches %s can try out keys, because of --verify-insecure", c.VerifyListen))
	case !c.VerifyTLS.Enabled():
		l.warn(place, fmt.Sprintf("tokens and keys reach %s unencrypted; give --verify-tls-cert-file, unless the "+
			"network is encrypted", c.VerifyListen))
	}
}

func (l *loader) warn(place, reason string) {
	l.warnings = append(l.warnings, Problem{Place: place, Reason: reason})
}
