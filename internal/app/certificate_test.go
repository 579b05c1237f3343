package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apikeyd/apikeyd/internal/config"
)

// issue returns a certificate and its key in PEM.
func issue(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestRenewedCertificate(t *testing.T) {
	folder := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(folder, "tls.crt"), KeyFile: filepath.Join(folder, "tls.key")}
	put := func(path string, data []byte) { // as what renews certificates does: nobody sees half a file
		t.Helper()
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := issue(t, 1)
	put(files.CertFile, cert)
	put(files.KeyFile, key)

	var log bytes.Buffer
	c := newCertificate(files, slog.New(slog.NewTextHandler(&log, nil)))
	c.every = 0
	settings, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	c.show(settings)
	l, err := tls.Listen("tcp", "127.0.0.1:0", settings)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go greet(l)
	shows := func(serial int64) {
		t.Helper()
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // what it shows is looked at here
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != serial {
			t.Errorf("certificate %d is shown, want %d", got, serial)
		}
	}
	says := func(want string) {
		t.Helper()
		if text := log.String(); !strings.Contains(text, want) || strings.Contains(text, "PRIVATE") {
			t.Errorf("the log says %q, want %q", text, want)
		}
		log.Reset()
	}

	shows(1)
	cert, key = issue(t, 2)
	put(files.CertFile, cert)
	shows(1) // the key is still the old one's
	says("not read again, the old one stays")
	shows(1)
	if log.Len() > 0 {
		t.Errorf("said again: %q", &log)
	}
	put(files.KeyFile, key)
	shows(2)
	says("certificate is read again")
	for _, path := range []string{files.CertFile, files.KeyFile} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	shows(2)
	says("not read again")
	cert, key = issue(t, 3)
	put(files.KeyFile, key)
	put(files.CertFile, cert)
	shows(3)
	says("certificate is read again")
}

// greet shakes hands with whoever connects.
func greet(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.(*tls.Conn).Handshake() // what comes of it, the client sees
		_ = conn.Close()
	}
}
