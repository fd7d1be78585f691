package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/docker/go-connections/tlsconfig"

	"dx/nsops/callerfile"
)

// TLSFiles are what docker's --tlscacert, --tlscert and --tlskey name. In place of an
// empty one is ca.pem, cert.pem or key.pem of DOCKER_CERT_PATH, if there is such a file.
type TLSFiles struct{ CA, Cert, Key string }

// tlsFromEnv mirrors docker/cli cli/flags/options.go: DOCKER_TLS_VERIFY or
// DOCKER_TLS switch TLS on, DOCKER_CERT_PATH names the files' directory.
func tlsFromEnv(s store, files TLSFiles, getenv func(string) string) (*tls.Config, error) {
	verify := getenv("DOCKER_TLS_VERIFY") != ""
	if !verify && getenv("DOCKER_TLS") == "" {
		return nil, nil
	}
	dir := s.dir
	if path := getenv("DOCKER_CERT_PATH"); path != "" {
		dir = path
	}
	return s.tls(dir, files, !verify)
}

// tls reads the files, each of them optional unless it is named, as docker does
// (docker/go-connections tlsconfig.Client).
func (s store) tls(dir string, files TLSFiles, insecure bool) (*tls.Config, error) {
	var text [3][]byte
	for i, f := range []struct{ named, name string }{{files.CA, "ca.pem"}, {files.Cert, "cert.pem"}, {files.Key, "key.pem"}} {
		path := f.named
		if path == "" {
			path = filepath.Join(dir, f.name)
		}
		b, err := s.read(path)
		if err != nil && (f.named != "" || !absent(err)) {
			return nil, fmt.Errorf("TLS files: %w", err)
		}
		text[i] = b
	}
	cfg, err := tlsOf(text[0], text[1], text[2], insecure)
	if err != nil {
		return nil, fmt.Errorf("TLS files in %s: %w", dir, err)
	}
	return cfg, nil
}

// absent reports whether docker would do without a file: it cannot be opened. One that
// belongs to the wrong user is no such.
func absent(err error) bool {
	var cannotOpen *fs.PathError
	var owner *callerfile.OwnerError
	return errors.As(err, &cannotOpen) && !errors.As(err, &owner)
}

// tlsOf makes a configuration of PEM texts; nil: there is none.
func tlsOf(ca, cert, key []byte, insecure bool) (*tls.Config, error) {
	cfg := tlsconfig.ClientDefault()
	cfg.InsecureSkipVerify = insecure
	if ca != nil && !insecure {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("ca.pem holds no certificate")
		}
	}
	if cert == nil && key == nil {
		return cfg, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert.pem and key.pem: %w", err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}
