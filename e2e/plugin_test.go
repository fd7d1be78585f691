package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// TestPlugin: docker dx, by docker's own client.
func TestPlugin(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	config := t.TempDir()
	env := []string{"DOCKER_CONFIG=" + config}
	if r := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "plugin", "install"}, Env: env}); r.Code != 0 {
		t.Fatalf("dx plugin install: %+v", r)
	}
	if to, err := filepath.EvalSymlinks(filepath.Join(config, "cli-plugins/docker-dx")); err != nil || to != e.DxPath(t) {
		t.Fatalf("the link leads to %s, %v, want %s", to, err, e.DxPath(t))
	}
	docker := func(args ...string) engine.Result {
		t.Helper()
		return e.Do(t, engine.Command{Args: append([]string{"docker"}, args...), Env: env})
	}
	slow := "--api-timeout=60s" // a busy engine is no subject here
	if r := docker("info", "--format", "{{range .ClientInfo.Plugins}}{{.Name}} {{.Err}}{{end}}"); !strings.Contains(r.Stdout, "dx") || strings.Contains(r.Stdout, "dx failed") {
		t.Errorf("docker does not know the plugin: %+v", r)
	}
	for _, args := range [][]string{
		{"dx", slow, "ps", "-q", "--no-trunc"},
		{"--host", e.Host, "dx", slow, "ps", "-q", "--no-trunc"},
		{"-D", "--log-level", "error", "dx", "-H", e.Host, slow, "ps", "-q", "--no-trunc"},
	} {
		if r := docker(args...); !slices.Contains(strings.Fields(r.Stdout), c.ID) || r.Code != 0 {
			t.Errorf("docker %q: %+v, want %s", args, r, c.ID)
		}
	}
	if r := docker("dx", slow, "exec", c.Name, "sh", "-c", "echo out; echo err >&2; exit 7"); r != (engine.Result{Stdout: "out\n", Stderr: "err\n", Code: 7}) {
		t.Errorf("docker dx exec: %+v", r)
	}
	if r := docker("__complete", "dx", "exec", slow, c.Name[:len(c.Name)-1]); !strings.Contains(r.Stdout, c.Name) {
		t.Errorf("docker's completion: %+v, want %s", r, c.Name)
	}
	for _, args := range [][]string{{"help", "dx"}, {"dx", "--help"}} {
		if r := docker(args...); !strings.Contains(r.Stdout, "docker dx [OPTIONS] COMMAND") || r.Code != 0 {
			t.Errorf("docker %q: %+v", args, r)
		}
	}
	// Without a terminal docker alone gets the signal, and tells the plugin by a socket.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := e.Command(ctx, "docker", "dx", slow, "exec", c.Name, "sh", "-c", "echo runs; exec sleep 100000")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await.Returns(t, "docker dx after a SIGTERM", func() { _ = cmd.Wait() })
}
