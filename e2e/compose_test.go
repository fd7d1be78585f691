package e2e

import (
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestComposeService: a container is found by the labels that Docker Compose gives it, by the
// engine's word and by Docker's files. Of a service with two that run, none is meant without
// its number.
func TestComposeService(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	project := e.Name("shop")
	start := func(service, number string, more ...string) engine.Container {
		return e.Run(t, engine.Busybox, append([]string{
			"--label", "com.docker.compose.project=" + project, "--label", "com.docker.compose.service=" + service,
			"--label", "com.docker.compose.container-number=" + number,
		}, more...)...)
	}
	web, one, two := start("web", "1"), start("db", "1"), start("db", "2")
	start("web", "2", "--label", "com.docker.compose.oneoff=True")
	for _, from := range []string{"auto", "engine", "host"} {
		for ref, want := range map[string]engine.Container{"web": web, "web/1": web, "db/1": one, "db/2": two} {
			if r := e.Dx(t, "--source", from, "exec", "compose:"+project+"/"+ref, "hostname"); strings.TrimSpace(r.Stdout) != want.ID[:12] {
				t.Errorf("--source %s, %s: %v, want %s", from, ref, r, want.ID[:12])
			}
		}
		both := e.Dx(t, "--source", from, "exec", "compose:"+project+"/db", "hostname")
		for _, candidate := range []string{"compose:" + project + "/db/1", "compose:" + project + "/db/2"} {
			if both.Code != 1 || !strings.Contains(both.Stderr, candidate) {
				t.Errorf("--source %s, of two: %v, want an error that has %s", from, both, candidate)
			}
		}
		if r := e.Dx(t, "--source", from, "exec", "compose:"+project+"/cache", "true"); r.Code != 1 || !strings.Contains(r.Stderr, "No such container: compose:"+project+"/cache") {
			t.Errorf("--source %s, no such service: %v", from, r)
		}
	}
	if r := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "__complete", "--api-timeout", "20s", "exec", "compose:"}}); !strings.Contains(r.Stdout, "compose:"+project+"/db/2\t") || strings.Contains(r.Stdout, project+"/web/2") {
		t.Errorf("completion offers %v", r)
	}
}
