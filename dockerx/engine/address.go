package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-connections/tlsconfig"

	"dx/nsops/callerfile"
)

// defaultHost is where docker looks if nothing says otherwise.
const defaultHost = "unix:///var/run/docker.sock"

// Address is an engine's endpoint.
type Address struct {
	Host   string      // unix:///var/run/docker.sock, tcp://127.0.0.1:2376
	TLS    *tls.Config // nil without TLS
	Origin string      // what named it: "--host", "DOCKER_HOST", "context NAME", "docker's default"

	// Warning is what docker would warn of on its way to the address; may be empty.
	Warning string
	// DetachKeys is the key sequence that docker's config file sets for detaching; the
	// engine is who refuses one that is none.
	DetachKeys string
}

// byDefault is the Origin of an address that nobody named.
const byDefault = "docker's default"

// Named reports whether somebody named the engine, so that no other can be meant.
func (a Address) Named() bool { return a.Origin != byDefault }

// ResolveAddress finds the engine as the docker command line does (docker/cli
// cli/command/cli.go, resolveContextName): host or context if not empty, DOCKER_HOST, the
// context in DOCKER_CONTEXT, currentContext of docker's config file, and at last
// docker's default socket. getenv is os.Getenv but in tests. A config file that cannot be
// read is a warning, and docker goes on as if there were none (docker/cli,
// config.LoadDefaultConfigFile).
func ResolveAddress(host, context string, getenv func(string) string) (Address, error) {
	dir := configDir(getenv)
	cfg, errConfig := readConfig(dir)
	a, err := cfg.address(host, context, dir, getenv)
	if errConfig != nil {
		a.Warning = fmt.Sprintf("WARNING: Error %v", errConfig)
	}
	a.DetachKeys = cfg.DetachKeys
	return a, err
}

func (cfg config) address(host, context, dir string, getenv func(string) string) (Address, error) {
	switch {
	case host != "" && context != "":
		return Address{}, errors.New("conflicting options: cannot specify both --host and --context")
	case host != "":
		return fromHost(host, "--host", dir, getenv)
	case context == "default":
		return fromHost(defaultHost, "--context", dir, getenv)
	case context != "":
		return fromContext(dir, context)
	}
	if host = getenv("DOCKER_HOST"); host != "" {
		return fromHost(host, "DOCKER_HOST", dir, getenv)
	}
	name := getenv("DOCKER_CONTEXT")
	if name == "" {
		name = cfg.CurrentContext
	}
	if name != "" && name != "default" {
		return fromContext(dir, name)
	}
	return fromHost(defaultHost, byDefault, dir, getenv)
}

func configDir(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	home := getenv("HOME")
	if home == "" {
		home, _ = os.UserHomeDir() // as docker: no home, no config file
	}
	return filepath.Join(home, ".docker")
}

func fromHost(host, origin, dir string, getenv func(string) string) (Address, error) {
	host, err := parseHost(host)
	if err != nil {
		return Address{}, fmt.Errorf("%s: %w", origin, err)
	}
	a := Address{Host: host, Origin: origin}
	if strings.HasPrefix(host, "tcp://") {
		a.TLS, err = tlsFromEnv(dir, getenv)
	}
	return a, err
}

// tlsFromEnv mirrors docker/cli cli/flags/options.go: DOCKER_TLS_VERIFY or
// DOCKER_TLS switch TLS on, DOCKER_CERT_PATH names the files' folder.
func tlsFromEnv(dir string, getenv func(string) string) (*tls.Config, error) {
	verify := getenv("DOCKER_TLS_VERIFY") != ""
	if !verify && getenv("DOCKER_TLS") == "" {
		return nil, nil
	}
	if path := getenv("DOCKER_CERT_PATH"); path != "" {
		dir = path
	}
	return tlsFromDir(dir, !verify)
}

// tlsFromDir reads ca.pem, cert.pem and key.pem, each of them optional, as docker does
// (docker/go-connections tlsconfig.Client).
func tlsFromDir(dir string, insecure bool) (*tls.Config, error) {
	cfg, err := tlsFrom(dir, insecure)
	if err != nil {
		return nil, fmt.Errorf("TLS files in %s: %w", dir, err)
	}
	return cfg, nil
}

func tlsFrom(dir string, insecure bool) (*tls.Config, error) {
	var files [3][]byte
	for i, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
		b, err := callerfile.Read(filepath.Join(dir, name), maxConfig)
		var cannotOpen *fs.PathError
		if err != nil && !errors.As(err, &cannotOpen) {
			return nil, err
		}
		files[i] = b
	}
	ca, cert, key := files[0], files[1], files[2]
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

// parseHost mirrors docker/cli opts/hosts.go: no scheme means tcp, an empty part
// is docker's default.
func parseHost(host string) (string, error) {
	scheme, addr, ok := strings.Cut(strings.TrimSpace(host), "://")
	if !ok {
		scheme, addr = "tcp", scheme
	}
	switch scheme {
	case "unix":
		if addr == "" {
			return defaultHost, nil
		}
		return "unix://" + addr, nil
	case "tcp", "http", "https":
		return "tcp://" + withPort(addr), nil
	case "ssh":
		return "ssh://" + addr, nil // nobody is asked: see New
	}
	return "", fmt.Errorf("engine address %q: unknown scheme %q (want unix or tcp)", host, scheme)
}

func withPort(addr string) string {
	addr, path, _ := strings.Cut(addr, "/")
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.Trim(addr, "[]"), ""
	}
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "2375"
	}
	if path != "" {
		path = "/" + path
	}
	return net.JoinHostPort(host, port) + path
}
