package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestAttackSilentNames: what dx's caller names leads into a container's silent file
// system: as a path, a socket, tools, an environment, a root. dx says so.
func TestAttackSilentNames(t *testing.T) {
	needFUSE(t)
	e := suite.Engine(t, engine.Host)
	c := silentContainer(t, e, "", "/silent")
	there := fmt.Sprintf("/proc/%d/root/silent/x", c.PID)
	for _, args := range [][]string{
		{"who", "path:" + there}, {"ns", there}, {"-H", "unix://" + there, "--source", "engine", "ps"}, {"-H", "unix://" + there, "doctor"},
		{"doctor", "--bundle", there + "/b"},
		{"-H", "unix://" + there, "exec", c.Name, "true"},
		{"debug", "--tools", there, c.Name, "true"}, {"exec", "--env-file", there, c.Name, "true"}, {"unshare", "--root", there, "true"},
	} {
		t.Run(strings.ReplaceAll(strings.Join(args, " "), there, "PATH"), func(t *testing.T) {
			t.Parallel()
			r := bounded(t, e, args...)
			if said := r.Stdout + r.Stderr; r.Code == 0 || !strings.Contains(said, "does not answer") {
				t.Errorf("exit %d, %q does not say that it does not answer", r.Code, said)
			}
		})
	}
}

// TestAttackSilentConfig: docker's configuration and a context's files lie there, and
// what a context names.
func TestAttackSilentConfig(t *testing.T) {
	needFUSE(t)
	e := suite.Engine(t, engine.Host)
	c := silentContainer(t, e, "", "/silent")
	there := fmt.Sprintf("/proc/%d/root/silent/x", c.PID)
	home := t.TempDir()
	if r := e.Docker(t, "--config", home, "context", "create", "silent", "--docker", "host=unix://"+there); r.Code != 0 {
		t.Fatalf("docker context create: %s", r.Stderr)
	}
	for name, env := range map[string][]string{
		"the configuration": {"DOCKER_CONFIG=" + there}, "a context's files": {"DOCKER_CONFIG=" + there, "DOCKER_CONTEXT=silent"},
		"a context's socket": {"DOCKER_CONFIG=" + home, "DOCKER_CONTEXT=silent"}, "DOCKER_HOST": {"DOCKER_HOST=unix://" + there},
		"TLS": {"DOCKER_HOST=tcp://127.0.0.1:1", "DOCKER_CERT_PATH=" + there, "DOCKER_TLS_VERIFY=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := e.Command(context.Background(), append(e.DxArgs(t), "ps")...)
			cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DOCKER_") }), env...)
			if r := boundedCommand(t, cmd); !strings.Contains(r.Stdout+r.Stderr, "does not answer") {
				t.Errorf("%+v does not say that it does not answer", r)
			}
		})
	}
}
