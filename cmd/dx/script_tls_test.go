package main

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
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serveTLS serves an engine as dockerd --tlsverify does. In $WORK/tls are the files of a
// client under docker's names, and under others: authority.pem, mine.pem, mine.key.
func serveTLS(ts *testscript.TestScript) {
	dir := ts.MkAbs("tls")
	ts.Check(os.Mkdir(dir, 0o755))
	authority := newCertificate(ts, "authority", nil)
	trusted := x509.NewCertPool()
	trusted.AddCert(authority.Leaf)
	server := httptest.NewUnstartedServer(madeContainers(ts.Getenv("MARK"), 1))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of who is refused
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{newCertificate(ts, "server", &authority)},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: trusted,
	}
	server.StartTLS()
	ts.Defer(server.Close)
	client := newCertificate(ts, "client", &authority)
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	ts.Check(err)
	for name, block := range map[string]pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: authority.Certificate[0]}, "authority.pem": {Type: "CERTIFICATE", Bytes: authority.Certificate[0]},
		"cert.pem": {Type: "CERTIFICATE", Bytes: client.Certificate[0]}, "mine.pem": {Type: "CERTIFICATE", Bytes: client.Certificate[0]},
		"key.pem": {Type: "PRIVATE KEY", Bytes: key}, "mine.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&block), 0o600))
	}
	ts.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
}

// newCertificate makes one that signer has signed; nil: itself, as an authority.
func newCertificate(ts *testscript.TestScript, name string, signer *tls.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: signer == nil, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, by := template, any(key)
	if signer != nil {
		parent, by = signer.Leaf, signer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	ts.Check(err)
	leaf, err := x509.ParseCertificate(der)
	ts.Check(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
