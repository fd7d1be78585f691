package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dx/e2e/engine"
)

// TestListsFitTheTerminal: on 80 columns no line of a list is longer, as the terminal, which
// is wider than it says, would show. On a pipe nothing is left out.
func TestListsFitTheTerminal(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	engine.Require(t, engine.Tmux)
	c := e.Run(t, engine.Busybox, "-e", "LONG="+strings.Repeat("x", 90))
	other := e.Run(t, engine.Busybox, "--network", "container:"+c.Name, "--pid", "host")
	script := "stty cols 80; exec 2>&1; "
	verbs := []string{
		"ps -a", "ls", "ns", "ns --inodes", "ns " + c.Name, "ns " + c.Name + " " + other.Name, "ns --procs",
		"top " + c.Name, "top " + c.Name + " " + other.Name, "top " + c.Name + " aux", "doctor", "diff " + c.Name, "version", fmt.Sprintf("who %d %d", c.PID, other.PID), "inspect " + c.Name, "diff " + c.Name + " " + other.Name,
	}
	for _, verb := range verbs {
		script += strings.Join(e.DxArgs(t), " ") + " " + verb + " 2>/dev/null; "
	}
	s := openScreen(t, e, script+"echo over; sleep 1000")
	s.wait("^over$")
	text := s.tmux("capture-pane", "-p", "-J", "-S", "-2000").Stdout
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); utf8.RuneCountInString(line) > 80 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
	if n := strings.Count(text, c.Name); n < len(verbs)-6 {
		t.Errorf("%s is shown %d times by %d lists:\n%s", c.Name, n, len(verbs), text)
	}
	if out := e.Dx(t, "ps").Stdout; !strings.Contains(out, `"sleep 1000000"`) {
		t.Errorf("on a pipe columns are left out:\n%s", out)
	}
}

// TestNsIsAWord: whose namespace it is the list says in a word.
func TestNsIsAWord(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	shares := e.Run(t, engine.Busybox, "--network", "container:"+c.Name, "--uts", "host")
	var got []string
	for _, line := range lines(e.Dx(t, "ns").Stdout) {
		if words := strings.Fields(line); slices.Contains(words, shares.Name) {
			got = words[3:]
		}
	}
	if want := "own"; len(got) != 8 || got[2] != want {
		t.Fatalf("%q, want eight words, and a mount namespace of its own", got)
	}
	if net, uts := got[3], got[7]; net != "="+c.Name || uts != "host" {
		t.Errorf("net %s and uts %s, want =%s and host", net, uts, c.Name)
	}
}

// TestInspectHasDockersFields: the paths of docker inspect that people use, of a container
// that runs and of one that does not, from the engine and without it. The engine is one with
// another storage driver.
func TestInspectHasDockersFields(t *testing.T) {
	e := suite.Start(t, engine.Options{Args: []string{"--storage-driver", "vfs"}})
	up := e.Run(t, engine.Busybox, "-e", "SECRET=hidden", "--label", "a=b")
	stopped := e.Run(t, engine.Busybox)
	e.KillContainer(t, stopped.Name)
	const fields = `{{.State.Pid}} {{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.StartedAt}} ` +
		`{{.State.FinishedAt}} {{.Id}} {{.Created}} {{.Path}} {{.Args}} {{.RestartCount}} {{json .Config.Env}} {{.Config.Image}} ` +
		`{{json .Config.Labels}} {{.Config.Hostname}} ` +
		`{{.NetworkSettings.IPAddress}} {{range $name, $n := .NetworkSettings.Networks}}{{$name}} {{$n.NetworkID}}{{end}}`
	for ref, fields := range map[string]string{up.Name: fields + "{{.HostConfig.NetworkMode}} {{.HostConfig.Privileged}}", stopped.Name: fields} {
		want := e.MustDocker(t, "inspect", "-f", fields, ref).Stdout
		for _, source := range []string{"engine", "host"} {
			if got := e.Dx(t, "--source", source, "container", "inspect", "-f", fields, ref); got.Stdout != want {
				t.Errorf("inspect by %s: %v\nwant %s", source, got, want)
			}
		}
	}
	card := e.Dx(t, "inspect", up.Name).Stdout
	if strings.Contains(card, "hidden") || !strings.Contains(card, "SECRET=***") {
		t.Errorf("the value of a variable is shown, or not its name:\n%s", card)
	}
	if card := e.Dx(t, "inspect", "--env", up.Name).Stdout; !strings.Contains(card, "SECRET=hidden") {
		t.Errorf("--env shows no values:\n%s", card)
	}
	r := e.Dx(t, "inspect", stopped.Name)
	if r.Code != 0 || !strings.Contains(r.Stdout, "exit code") || !strings.Contains(r.Stdout, "137") {
		t.Errorf("how it ended is not shown: %v", r)
	}
	e.MustDocker(t, "exec", up.Name, "sh", "-c", changeSome)
	isDockerDiff(t, e, up.Name)
	logsAreShown(t, e)
}

// logsAreShown compares the end of the logs of containers that have ended with docker's word,
// for both drivers that dx reads.
func logsAreShown(t *testing.T, e *engine.Engine) {
	t.Helper()
	for _, driver := range []string{"json-file", "local"} {
		name := e.Name("log")
		t.Cleanup(func() { e.MustDocker(t, "rm", "-f", name) })
		run := e.Docker(t, "run", "--name", name, "--log-driver", driver, engine.Busybox, "sh", "-c",
			`i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; printf '\033[31mred\n'; exit 3`)
		if run.Code != 3 {
			t.Fatalf("the container ended with %v, want 3", run)
		}
		want := lines(e.MustDocker(t, "logs", "-n", "10", name).Stdout)
		for _, source := range []string{"engine", "host"} {
			r := e.Dx(t, "--source", source, "inspect", "--format", "{{range .Log}}{{.Stream}} {{.Text}}\n{{end}}", name)
			if r.Code != 0 || strings.TrimSpace(r.Stdout) != "stdout "+strings.Join(want, "\nstdout ") {
				t.Errorf("the log of %s by %s: %v, docker has %q", driver, source, r, want)
			}
		}
		if card := e.Dx(t, "inspect", name).Stdout; !strings.Contains(card, `\x1b[31mred`) || strings.Contains(card, "\x1b") {
			t.Errorf("the card of %s has no log, or what a terminal obeys:\n%s", driver, card)
		}
	}
}
