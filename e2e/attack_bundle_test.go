package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// A bundle goes to a place that somebody names, maybe where others may write, and then
// to strangers: who reads or writes it here, and what it tells there.

// TestBundleIsANewFile: what a user has put in its place stays as it is, and so does
// what that leads to.
func TestBundleIsANewFile(t *testing.T) {
	m := newMallory(t)
	dir, victim := sharedTemp(t, m)
	e := suite.Engine(t, engine.Host)
	bundle := filepath.Join(dir, filepath.Base(filepath.Dir(m.dir))+"-bundle.tgz")
	for what, script := range map[string]string{
		"a link to a file of root's":  "ln -s " + victim + " " + bundle,
		"a link to a file of his own": ": >$DIR/his; chmod 666 $DIR/his; ln -s $DIR/his " + bundle,
		"a link to nothing":           "ln -s $DIR/made " + bundle,
		"a file of his own":           ": >" + bundle + "; chmod 666 " + bundle,
		"a FIFO":                      "mkfifo -m 666 " + bundle,
	} {
		m.start(t, script+"; echo ready >$DIR/ready")
		m.wait(t, "ready")
		r := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "doctor", "-q", "--timeout", "4s", "--bundle", bundle}})
		if r.Code != 125 || !strings.Contains(r.Stderr, "dx replaces nothing") {
			t.Errorf("%s: %+v", what, r)
		}
		unchanged(t, victim, what)
		for _, his := range []string{m.dir + "/his", m.dir + "/made", bundle} {
			if st, err := os.Stat(his); err == nil && st.Mode().IsRegular() && st.Size() > 0 && his != victim {
				if b, _ := os.ReadFile(his); string(b) != dumpSecret {
					t.Errorf("%s: the bundle lies in %s", what, his)
				}
			}
		}
		for _, left := range []string{bundle, m.dir + "/ready"} {
			if err := os.Remove(left); err != nil {
				t.Fatal(err)
			}
		}
		os.Remove(m.dir + "/his")
		os.Remove(m.dir + "/made")
	}
	t.Cleanup(func() { os.Remove(bundle) })
	before := tempNames(t, dir)
	e.Do(t, engine.Command{Args: []string{e.DxPath(t), "doctor", "-q", "--timeout", "4s", "--bundle", bundle}})
	if got := output(t, "stat", "-c", "%a %u %F", bundle); got != "600 0 regular file" {
		t.Errorf("the bundle is %s", got)
	}
	if after := tempNames(t, dir); after != before+1 {
		t.Errorf("%d files beside it, %d before", after-1, before)
	}
}

func tempNames(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(dir + "/*-bundle.tgz*")
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(dir + "/.*-bundle.tgz*")
	if err != nil {
		t.Fatal(err)
	}
	return len(names) + len(hidden)
}

// TestBundleHoldsNoSecret: a container that has one wherever docker run takes one.
func TestBundleHoldsNoSecret(t *testing.T) {
	e := suite.Start(t, engine.Options{Args: []string{"--label", "x=SECRET_DAEMON", "--log-opt", "labels=SECRET_DAEMONLOG"}})
	const script = "sleep 424242; : SECRET_ARGUMENT" // the last word, in an image's place
	c := e.Run(t, script, "--env", "PASSWORD=SECRET_ENV", "--label", "app.key=SECRET_LABEL", "--log-opt", "tag=SECRET_TAG",
		"--health-cmd", "echo SECRET_OUTPUT; : SECRET_HEALTH", "--health-interval", "1s", "--tmpfs", "/t:size=1m",
		"--mount", `type=volume,dst=/v,volume-label=x=SECRET_VOLUMELABEL,volume-opt=type=ramfs,volume-opt=device=ramfs,"volume-opt=o=username=SECRET_USER,password=SECRET_VOLUME"`,
		"--entrypoint", "sh", engine.Busybox, "-c")
	eventually(t, "the health check has run", func() bool {
		return strings.Contains(e.Docker(t, "inspect", "-f", "{{json .State.Health.Log}}", c.Name).Stdout, "SECRET_OUTPUT")
	})
	file := filepath.Join(t.TempDir(), "bundle.tgz")
	r := e.Do(t, engine.Command{Args: []string{e.DxPath(t), "doctor", "-q", "--timeout", "10s", "--dump", "--bundle", file}})
	names := output(t, "tar", "tzf", file)
	for _, want := range []string{"report.json", "MASKED.txt", "dumps/dockerd.txt", "processes/dockerd/cmdline", "/shim/cmdline", "/config.json", "/config.v2.json", "/hostconfig.json", "/init/mountinfo"} {
		if !strings.Contains(names, want) {
			t.Errorf("the bundle lacks %s: %+v\n%s", want, r, names)
		}
	}
	content := output(t, "tar", "xzOf", file)
	for _, found := range regexp.MustCompile(`.{0,80}SECRET_\w*`).FindAllString(content, -1) {
		t.Errorf("the bundle holds %s", found)
	}
	for _, class := range []string{"environment", "labels", "arguments", "log options", "health checks", "options of volumes"} {
		if !strings.Contains(r.Stderr, class) || !strings.Contains(content, class) {
			t.Errorf("it is not said that %s are masked: %s", class, r.Stderr)
		}
	}
	for _, want := range []string{"PASSWORD=***", c.ID, "goroutine 1 ["} {
		if !strings.Contains(content, want) {
			t.Errorf("the bundle does not tell %s", want)
		}
	}
}
