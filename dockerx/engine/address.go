package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
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

// Flags are those of docker's global flags that name an engine. Each may be empty.
type Flags struct {
	Host, Context string
	TLS           TLSFiles
}

// ResolveAddress finds the engine as the docker command line does (docker/cli
// cli/command/cli.go, resolveContextName): the flags, DOCKER_HOST, the context in
// DOCKER_CONTEXT, currentContext of docker's config file, and at last docker's default
// socket. Behind sudo, the contexts of the user who called it come after root's own.
// getenv is os.Getenv but in tests. A config file that cannot be read is a warning, and
// docker goes on as if there were none (docker/cli, config.LoadDefaultConfigFile).
func ResolveAddress(f Flags, getenv func(string) string) (Address, error) {
	return resolveAddress(f, getenv, os.Geteuid())
}

func resolveAddress(f Flags, getenv func(string) string, euid int) (Address, error) {
	s := storesOf(getenv, euid)
	a, err := s.address(f, getenv)
	for _, store := range s {
		cfg, errConfig := store.config()
		if errConfig != nil && a.Warning == "" {
			a.Warning = fmt.Sprintf("WARNING: Error %v", errConfig)
		}
		if a.DetachKeys == "" {
			a.DetachKeys = cfg.DetachKeys
		}
	}
	return a, err
}

func (s stores) address(f Flags, getenv func(string) string) (Address, error) {
	switch {
	case f.Host != "" && f.Context != "":
		return Address{}, errors.New("conflicting options: cannot specify both --host and --context")
	case f.Host != "":
		return s.fromHost(f.Host, "--host", f.TLS, getenv)
	case f.Context == "default":
		return s.fromHost(defaultHost, "--context", f.TLS, getenv)
	case f.Context != "":
		return s.context(f.Context)
	}
	if host := getenv("DOCKER_HOST"); host != "" {
		return s.fromHost(host, "DOCKER_HOST", f.TLS, getenv)
	}
	if name := getenv("DOCKER_CONTEXT"); name == "default" {
		return Address{Host: defaultHost, Origin: byDefault}, nil
	} else if name != "" {
		return s.context(name)
	}
	return s.current()
}

func (s stores) fromHost(host, origin string, files TLSFiles, getenv func(string) string) (Address, error) {
	host, err := parseHost(host)
	if err != nil {
		return Address{}, fmt.Errorf("%s: %w", origin, err)
	}
	a := Address{Host: host, Origin: origin}
	if strings.HasPrefix(host, "tcp://") {
		a.TLS, err = tlsFromEnv(s[0], files, getenv)
	}
	return a, err
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
