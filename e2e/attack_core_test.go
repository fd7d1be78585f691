package e2e

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestAttackCoreDump: the root of a container without any further right sees a command
// that has the host's rights and environment. It may not look into it, but has the same
// user: it raises the command's limit of core files and ends it, so that all of its
// memory lies in a file of its working directory, where the container reads it.
func TestAttackCoreDump(t *testing.T) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.ContainsAny(string(pattern), "|/@") {
		t.Skipf("core files do not go to the working directory here: %q %v", pattern, err)
	}
	e := suite.Engine(t, engine.Host)
	const seconds = "313374"
	dir := secretDirectory(t)
	for _, test := range []struct {
		name  string
		run   []string
		flags []string
		cores string // in the container
	}{
		{"host-tools", nil, []string{"debug", "--host-tools", "-w", "/container"}, "/"},
		{"host-tools with the host's PIDs", []string{"--pid", "host"}, []string{"debug", "--host-tools", "-w", "/container"}, "/"},
		{"exec --ns pid", []string{"-v", dir + ":/shared"}, []string{"exec", "--ns", "pid"}, "/shared"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := e.Run(t, engine.Busybox, test.run...)
			e.MustDocker(t, "cp", suite.Build(t, "dx/e2e/attacker/coredumper"), c.Name+":/coredumper")
			attacker := e.Command(t.Context(), "docker", "exec", c.Name, "/coredumper", "sleep "+seconds)
			rest := startAttacker(t, attacker)
			victim := e.Command(t.Context(), slices.Concat(e.DxArgs(t), test.flags, []string{c.Name, "sleep", seconds})...)
			victim.Dir, victim.Env = dir, append(os.Environ(), "OF_THE_CALLER="+hostSecret)
			out, _ := victim.CombinedOutput()
			said := rest()
			if err := attacker.Wait(); err != nil {
				t.Fatalf("the attacker: %v\n%s\nits victim: %s", err, said, out)
			}
			if !strings.Contains(said, "ended: <nil>") {
				t.Errorf("the attacker did not find the command: %s\n%s", said, out)
			}
			copied := t.TempDir()
			e.MustDocker(t, "cp", c.Name+":"+test.cores, copied)
			if loot := grepSecret(t, copied); loot != "" {
				t.Errorf("the container has the command's memory in %s\nand said: %s", loot, said)
			}
		})
	}
}

// startAttacker waits until it looks for its victim: until then it is runc's, which has
// rights for which dx starts no command beside it. rest is what it says from then on.
func startAttacker(t *testing.T, cmd *exec.Cmd) (rest func() string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(r)
	if line, err := said.ReadString('\n'); err != nil {
		t.Fatalf("the attacker says %q: %v", line, err)
	}
	return func() string {
		b, err := io.ReadAll(said)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// grepSecret looks for the caller's variable in core files below a directory.
func grepSecret(t *testing.T, dir string) string {
	t.Helper()
	cores, err := filepath.Glob(dir + "/core*")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob(dir + "/*/core*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(cores, below...) {
		st, err := os.Stat(file)
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("OF_THE_CALLER="+hostSecret)) {
			return file
		}
	}
	return ""
}
