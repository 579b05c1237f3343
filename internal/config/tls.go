package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// maxPEMFile bounds certificates, keys and bundles of authorities; the largest bundles in use have a quarter of it.
const maxPEMFile = 1 * MiB

// TLS says with which certificate a listener proves who it is, and whose clients it lets in. The zero TLS is none.
type TLS struct {
	CertFile     string // path of the certificate chain, in PEM
	KeyFile      string // path of the private key, in PEM
	ClientCAFile string // path of the authorities that sign clients' certificates, in PEM; "": clients need none
}

// Enabled reports whether there is a certificate.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// Mutual reports whether clients must show a certificate.
func (t TLS) Mutual() bool { return t.Enabled() && t.ClientCAFile != "" }

// Config reads the files and returns the configuration of a server that listens with them, or nil where TLS is not
// enabled. It speaks TLS 1.2 and later.
func (t TLS) Config() (*tls.Config, error) {
	config, faults := t.load()
	if len(faults) == 0 {
		return config, nil
	}
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = fmt.Errorf("%s: %w", f.setting, f.err)
	}
	return nil, errors.Join(errs...)
}

// Certificate reads the certificate and its key, and nothing else, where TLS is enabled. The error is as of Config.
func (t TLS) Certificate() (*tls.Certificate, error) {
	config, err := TLS{CertFile: t.CertFile, KeyFile: t.KeyFile}.Config()
	if err != nil {
		return nil, err
	}
	return &config.Certificates[0], nil
}

// tlsFault is what is wrong with one of the files.
type tlsFault struct {
	setting string // the name of its setting, without "verify-": "tls-cert-file"
	err     error
}

func (t TLS) load() (*tls.Config, []tlsFault) {
	if !t.Enabled() {
		return nil, nil
	}
	var faults []tlsFault
	read := func(setting, path string) []byte {
		data, err := readFile(path, maxPEMFile)
		if err != nil {
			faults = append(faults, tlsFault{setting, err})
		}
		return data
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	cert, key := read("tls-cert-file", t.CertFile), read("tls-key-file", t.KeyFile)
	if len(faults) == 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			faults = append(faults, tlsFault{"tls-cert-file", fmt.Errorf("the certificate and its key cannot be used: %w", err)})
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if t.Mutual() {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		if data := read("tls-client-ca-file", t.ClientCAFile); data != nil && !config.ClientCAs.AppendCertsFromPEM(data) {
			faults = append(faults, tlsFault{"tls-client-ca-file", errors.New("the file holds no certificate in PEM")})
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return config, nil
}
