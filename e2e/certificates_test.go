package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// makeCertificates returns, as files in PEM, an authority (ca.pem) with a certificate and key that it has signed for a
// server on 127.0.0.1 and for a client, and those of a stranger, signed by nobody one knows.
func makeCertificates(t testing.TB) map[string][]byte {
	t.Helper()
	ca, other := newAuthority(t, "ours"), newAuthority(t, "another")
	files := map[string][]byte{"ca.pem": ca.pem}
	files["server.pem"], files["server.key"] = ca.sign("server", x509.ExtKeyUsageServerAuth)
	files["client.pem"], files["client.key"] = ca.sign("client", x509.ExtKeyUsageClientAuth)
	files["stranger.pem"], files["stranger.key"] = other.sign("stranger", x509.ExtKeyUsageClientAuth)
	return files
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, cert: template(name), key: newKey(t)}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = inPEM("CERTIFICATE", der)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(name string, usage x509.ExtKeyUsage) (cert, key []byte) {
	a.t.Helper()
	c, private := template(name), newKey(a.t)
	c.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &private.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return inPEM("CERTIFICATE", der), inPEM("PRIVATE KEY", pkcs8)
}

func inPEM(kind string, der []byte) []byte {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // a bytes.Buffer does not fail
	return b.Bytes()
}
