package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeFile makes the directories, too.
func writeFile(t *testing.T, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configDir is as docker context create makes it.
func configDir(t *testing.T, current string) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "config.json"), `{"auths":{},"currentContext":"`+current+`"}`)
	for name, endpoint := range map[string]string{
		"test":   `{"Host":"unix:///run/test.sock","SkipTLSVerify":false}`,
		"tls":    `{"Host":"tcp://10.0.0.1:2376","SkipTLSVerify":true}`,
		"remote": `{"Host":"ssh://user@elsewhere","SkipTLSVerify":false}`,
	} {
		sum := sha256.Sum256([]byte(name))
		meta := `{"Name":"` + name + `","Metadata":{},"Endpoints":{"docker":` + endpoint + `}}`
		writeFile(t, filepath.Join(dir, "contexts/meta", hex.EncodeToString(sum[:]), "meta.json"), meta)
	}
	return dir
}

func TestResolveAddress(t *testing.T) {
	type env = map[string]string
	for _, c := range []struct {
		name, host, current string
		env                 env
		want, origin        string
		tls                 bool
	}{
		{name: "default", want: "unix:///var/run/docker.sock", origin: "docker's default"},
		{name: "flag", host: "unix:///x.sock", env: env{"DOCKER_HOST": "unix:///y.sock"}, want: "unix:///x.sock", origin: "--host"},
		{name: "environment", env: env{"DOCKER_HOST": "unix:///y.sock", "DOCKER_CONTEXT": "test"}, want: "unix:///y.sock", origin: "DOCKER_HOST"},
		{name: "context", env: env{"DOCKER_CONTEXT": "test"}, current: "tls", want: "unix:///run/test.sock", origin: "context test"},
		{name: "current context", current: "test", want: "unix:///run/test.sock", origin: "context test"},
		{name: "context named default", env: env{"DOCKER_CONTEXT": "default"}, current: "test", want: "unix:///var/run/docker.sock", origin: "docker's default"},
		{name: "tls context", current: "tls", want: "tcp://10.0.0.1:2376", origin: "context tls", tls: true},
		{name: "no scheme", host: "127.0.0.1", want: "tcp://127.0.0.1:2375", origin: "--host"},
		{name: "no host", host: "tcp://:99", want: "tcp://localhost:99", origin: "--host"},
		{name: "IPv6", host: "tcp://[::1]", want: "tcp://[::1]:2375", origin: "--host"},
		{name: "tls by environment", host: "tcp://h:1", env: env{"DOCKER_TLS": "1"}, want: "tcp://h:1", origin: "--host", tls: true},
		{name: "empty path", host: "unix://", want: "unix:///var/run/docker.sock", origin: "--host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := configDir(t, c.current)
			a, err := ResolveAddress(Flags{Host: c.host}, func(name string) string {
				if name == "DOCKER_CONFIG" {
					return dir
				}
				return c.env[name]
			})
			if err != nil || a.Host != c.want || a.Origin != c.origin || (a.TLS != nil) != c.tls {
				t.Errorf("%s from %s, TLS %v, %v; want %s from %s", a.Host, a.Origin, a.TLS != nil, err, c.want, c.origin)
			}
		})
	}
}

func TestResolveAddressRefuses(t *testing.T) {
	for host, want := range map[string]string{
		"npipe:////./x":     "unknown scheme",
		"unixx:///var/sock": "unknown scheme",
	} {
		if a, err := ResolveAddress(Flags{Host: host}, func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", host, a, err, want)
		}
	}
	for context, want := range map[string]string{"absent": `docker context "absent" not found`} {
		dir := configDir(t, context)
		_, err := ResolveAddress(Flags{}, func(name string) string { return map[string]string{"DOCKER_CONFIG": dir}[name] })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", context, err, want)
		}
	}
}

// TestSSHIsNotAsked: an engine that is reached by ssh has an address, and gives no answer.
func TestSSHIsNotAsked(t *testing.T) {
	dir := configDir(t, "remote")
	a, err := ResolveAddress(Flags{}, func(name string) string { return map[string]string{"DOCKER_CONFIG": dir}[name] })
	if err != nil || a.Host != "ssh://user@elsewhere" || !a.Named() {
		t.Fatalf("the address of a context that leads elsewhere is %+v, %v", a, err)
	}
	c, err := New(a, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(context.Background()); !errors.Is(err, ErrElsewhere) {
		t.Errorf("it is asked: %v, want %v", err, ErrElsewhere)
	}
}

// TestChoiceOfContext: --context goes before the environment, and not with --host.
func TestChoiceOfContext(t *testing.T) {
	dir := configDir(t, "")
	env := func(name string) string {
		return map[string]string{"DOCKER_CONFIG": dir, "DOCKER_HOST": "unix:///elsewhere"}[name]
	}
	if a, err := ResolveAddress(Flags{Context: "remote"}, env); err != nil || a.Host != "ssh://user@elsewhere" {
		t.Errorf("--context remote is %+v, %v", a, err)
	}
	if a, err := ResolveAddress(Flags{Context: "default"}, env); err != nil || a.Host != defaultHost || !a.Named() {
		t.Errorf("--context default is %+v, %v, want docker's own, named", a, err)
	}
	if _, err := ResolveAddress(Flags{Host: "unix:///x", Context: "remote"}, env); err == nil {
		t.Error("--host and --context together name one engine")
	}
}

// TestBrokenConfig: docker warns of a config file that it cannot read, and goes on,
// whatever names the engine.
func TestBrokenConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string { return map[string]string{"DOCKER_CONFIG": dir}[name] }
	a, err := ResolveAddress(Flags{}, env)
	want := "WARNING: Error parsing config file (" + dir + "/config.json): invalid character 'b' looking for beginning of object key string"
	if err != nil || a.Host != defaultHost || a.Warning != want || a.DetachKeys != "" {
		t.Errorf("with a broken config file the address is %+v, %v, want docker's default and the warning %q", a, err, want)
	}
	if a, err := ResolveAddress(Flags{Host: "unix:///x"}, env); err != nil || a.Host != "unix:///x" || a.Warning != want {
		t.Errorf("with a broken config file and --host the address is %+v, %v, want that host and the same warning", a, err)
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		return
	}
	cmd := exec.Command(docker, "context", "ls")
	cmd.Env = []string{"DOCKER_CONFIG=" + dir, "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want+"\n") {
		t.Errorf("docker context ls: %v: %s, want the warning %q", err, out, want)
	}
}

// The store is docker's: what its own command line wrote is found.
func TestContextMadeByDocker(t *testing.T) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("no docker command line: ", err)
	}
	dir := t.TempDir()
	for _, args := range [][]string{
		{"context", "create", "made", "--docker", "host=unix:///run/made.sock"}, {"context", "use", "made"},
	} {
		cmd := exec.Command(docker, args...)
		cmd.Env = []string{"DOCKER_CONFIG=" + dir, "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker %s: %v: %s", args, err, out)
		}
	}
	a, err := ResolveAddress(Flags{}, func(name string) string { return map[string]string{"DOCKER_CONFIG": dir}[name] })
	if err != nil || a.Host != "unix:///run/made.sock" {
		t.Errorf("the address is %+v, %v, want docker's current context, unix:///run/made.sock", a, err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(`{"auths":{},"currentContext":"test"}`)
	f.Add(`{"Name":"x","Endpoints":{"docker":{"Host":"unix:///x","SkipTLSVerify":false}}}`)
	f.Add("tcp://[::1]:2375/path")
	f.Fuzz(func(t *testing.T, data string) {
		parseConfig(strings.NewReader(data))
		parseEndpoint(strings.NewReader(data))
		if host, err := parseHost(data); err == nil && !strings.HasPrefix(host, "unix://") && !strings.HasPrefix(host, "tcp://") && !strings.HasPrefix(host, "ssh://") {
			t.Errorf("%q is taken for the address %q, which has no scheme that dx knows", data, host)
		}
	})
}
