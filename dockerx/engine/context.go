package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"dx/nsops/callerfile"
)

// maxConfig bounds docker's config file and a context's meta.json.
const maxConfig = 8 << 20

// config is the part of docker's config file that concerns dx.
type config struct {
	CurrentContext string `json:"currentContext"` // what `docker context use` chose
	DetachKeys     string `json:"detachKeys"`
	PSFormat       string `json:"psFormat"`
}

// configs has a func() (config, error) for each store: which engine is meant and how
// one detaches are asked for at two places.
var configs sync.Map

// config reads docker's config file, once; there need not be one.
func (s store) config() (config, error) {
	read, _ := configs.LoadOrStore(s, sync.OnceValues(s.loadConfig))
	return read.(func() (config, error))()
}

// PSFormat is the format that docker's config file sets for docker ps.
func PSFormat(getenv func(string) string) string {
	for _, store := range storesOf(getenv, os.Geteuid()) {
		cfg, _ := store.config() // NewClient's caller is told what is wrong with it
		if cfg.PSFormat != "" {
			return cfg.PSFormat
		}
	}
	return ""
}

func (s store) loadConfig() (config, error) {
	path := filepath.Join(s.dir, "config.json")
	b, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("loading config file: %w", err)
	}
	cfg, err := parseConfig(bytes.NewReader(b))
	if err != nil {
		return config{}, fmt.Errorf("parsing config file (%s): %w", path, err)
	}
	return cfg, nil
}

func parseConfig(r io.Reader) (config, error) {
	var cfg config
	err := json.NewDecoder(io.LimitReader(r, maxConfig)).Decode(&cfg)
	if errors.Is(err, io.EOF) {
		err = nil // docker takes an empty file for no configuration
	}
	return cfg, err
}

// context reads a context of docker's store (docker/cli cli/context/store):
// contexts/{meta,tls}/<sha256 of the name>.
func (s store) context(name string) (Address, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	path := filepath.Join(s.dir, "contexts", "meta", id, "meta.json")
	b, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Address{}, fmt.Errorf("docker context %q not found (see `docker context ls`): %w", name, err)
	}
	if err != nil {
		return Address{}, fmt.Errorf("docker context %q: %w", name, err)
	}
	ep, err := parseEndpoint(bytes.NewReader(b))
	if err != nil {
		return Address{}, fmt.Errorf("docker context %q: %s: %w", name, path, err)
	}
	return s.address(ep, name, filepath.Join(s.dir, "contexts", "tls", id, "docker"))
}

type endpoint struct {
	Host          string
	SkipTLSVerify bool
}

func parseEndpoint(r io.Reader) (endpoint, error) {
	var meta struct {
		Endpoints map[string]endpoint
	}
	if err := json.NewDecoder(io.LimitReader(r, maxConfig)).Decode(&meta); err != nil {
		return endpoint{}, err
	}
	ep, ok := meta.Endpoints["docker"]
	if !ok {
		return endpoint{}, errors.New("no docker endpoint")
	}
	return ep, nil
}

func (s store) address(ep endpoint, name, tlsDir string) (Address, error) {
	host := ep.Host
	if host == "" {
		host = defaultHost
	}
	host, err := parseHost(host)
	if err != nil {
		return Address{}, fmt.Errorf("docker context %q: %w", name, err)
	}
	a := Address{Host: host, Origin: "context " + name}
	if s.of != (caller{}) {
		a.Origin += " of " + s.of.name
	}
	if !strings.HasPrefix(host, "tcp://") {
		return a, nil
	}
	if dir, err := callerfile.Open(tlsDir); err == nil || ep.SkipTLSVerify {
		dir.Close()
		a.TLS, err = s.tls(tlsDir, TLSFiles{}, ep.SkipTLSVerify)
		return a, err
	}
	return a, nil
}
