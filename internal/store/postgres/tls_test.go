package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/store"
	"github.com/apikeyd/apikeyd/internal/store/postgres/postgrestest"
)

// certificate writes one for 127.0.0.1 and its key to a folder.
func certificate(t *testing.T, folder string) (cert, private string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, private = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, private: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, private
}

// All that is done about connections holds for encrypted ones.
func TestServerWithTLS(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	dsn := server.NewDatabase(t)
	cert, private := certificate(t, server.Folder())
	if err := errors.Join(server.Own(cert), server.Own(private)); err != nil {
		t.Fatal(err)
	}
	server.Set(t, "ssl_cert_file", cert)
	server.Set(t, "ssl_key_file", private)
	server.Set(t, "ssl", "on")
	proxy := postgrestest.NewForwarder(t, server.Address())
	encrypted := with(t, proxy.URL(t, dsn), "sslmode", "verify-full", "sslrootcert", cert)
	s := openFilled(t, encrypted, 1)
	if n := count(t, plain(t, dsn), `SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'apikeyd' AND NOT ssl`); n != 0 {
		t.Errorf("%d connections are not encrypted", n)
	}
	if _, err := s.RecordByDigest(t.Context(), digestOf(0)); err != nil {
		t.Error(err)
	}
	time.Sleep(2 * connectTimeout) // no deadline of connecting is left
	if err := addKey(t.Context(), s, 1); err != nil {
		t.Error(err)
	}
	proxy.Lose()
	began := time.Now()
	if _, err := s.RecordByDigest(t.Context(), digestOf(0)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("RecordByDigest() = %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > pointTimeout+busy/2 {
		t.Errorf("RecordByDigest() took %v", took)
	}
	for s.watch.err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	proxy.Deliver()
	wantRecovered(t, s, time.Now(), 100)

	if _, err := Open(t.Context(), Options{DSN: with(t, encrypted, "sslrootcert", "/nowhere.pem")}); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open() with a file that is not there = %v", err)
	}
	if _, err := Open(t.Context(), Options{DSN: with(t, dsn, "sslmode", "verify-full")}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Open() without knowing the certificate = %v, want ErrUnavailable", err)
	}
}
