package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// pki is an authority and a certificate that it signed, good for a server on 127.0.0.1 and for a client.
type pki struct {
	ca, cert, key string // paths
}

func newPKI(t *testing.T, dir string) pki {
	t.Helper()
	now := time.Now()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	authorityKey, leafKey := newKey(t), newKey(t)
	p := pki{ca: dir + "/ca.crt", cert: dir + "/leaf.crt", key: dir + "/leaf.key"}
	sign := func(path string, template *x509.Certificate, public *ecdsa.PrivateKey) {
		der, err := x509.CreateCertificate(rand.Reader, template, authority, public.Public(), authorityKey)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	sign(p.ca, authority, authorityKey)
	sign(p.cert, leaf, leafKey)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestTLSConfig serves with it: a client with a certificate of the authority's gets in, others do not where one is
// asked for.
func TestTLSConfig(t *testing.T) {
	p, stranger := newPKI(t, t.TempDir()), newPKI(t, t.TempDir())
	for _, tt := range []struct {
		name   string
		server TLS
		client *pki
		want   bool
	}{
		{"server alone, client with none", TLS{CertFile: p.cert, KeyFile: p.key}, nil, true},
		{"mutual, client with none", TLS{CertFile: p.cert, KeyFile: p.key, ClientCAFile: p.ca}, nil, false},
		{"mutual, stranger", TLS{CertFile: p.cert, KeyFile: p.key, ClientCAFile: p.ca}, &stranger, false},
		{"mutual, known client", TLS{CertFile: p.cert, KeyFile: p.key, ClientCAFile: p.ca}, &p, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serverConfig, err := tt.server.Config()
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "in") }))
			srv.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
			srv.TLS = serverConfig
			srv.StartTLS()
			defer srv.Close()

			roots := x509.NewCertPool()
			ca, err := os.ReadFile(p.ca)
			if err != nil || !roots.AppendCertsFromPEM(ca) {
				t.Fatal("no authority", err)
			}
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
			defer transport.CloseIdleConnections()
			if tt.client != nil {
				pair, err := tls.LoadX509KeyPair(tt.client.cert, tt.client.key)
				if err != nil {
					t.Fatal(err)
				}
				// Shown whatever authorities the server names, as a stranger would.
				transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			res, err := (&http.Client{Transport: transport}).Get(srv.URL)
			if err == nil {
				res.Body.Close()
			}
			if (err == nil) != tt.want {
				t.Errorf("let in = %v, want %v (%v)", err == nil, tt.want, err)
			}
		})
	}
}

func TestNoTLS(t *testing.T) {
	if c, err := (TLS{}).Config(); c != nil || err != nil {
		t.Errorf("Config = %v, %v", c, err)
	}
	if _, err := (TLS{CertFile: "nowhere", KeyFile: "nowhere"}).Config(); err == nil {
		t.Error("files that are not there make a configuration")
	}
}
