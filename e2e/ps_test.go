package e2e

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// psFields are fields of docker ps that do not tell the time.
const psFields = `{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.CreatedAt}} {{.State}} {{.Labels}} {{.Label "tier"}} ` +
	`{{.Networks}} {{.Mounts}} {{.LocalVolumes}} {{.Ports}} {{.Status}}`

// aTime is how docker says how long something took.
var aTime = regexp.MustCompile(`Less than a second|About an? \w+|\d+ (second|minute|hour)s?`)

// TestPsIsDockerPs: the same containers and the same fields by the same filters, whatever
// their state, from the engine and without it.
func TestPsIsDockerPs(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	up := e.Run(t, engine.Busybox, "--label", "tier=front", "--label", "a=b", "-v", "/vol", "--expose", "80", "--expose", "81")
	paused, stopped := e.Run(t, engine.Busybox, "--network", "none"), e.Run(t, engine.Busybox)
	e.Run(t, engine.Busybox, "--health-cmd", "true", "--health-interval", "1h", "-v", "/proc/version:/mnt/version", "--network", "host")
	e.Create(t, engine.Busybox, "--expose", "8000-8002/udp")
	e.MustDocker(t, "pause", paused.Name)
	if base, ok := ownV1Cgroup(t, up); ok { // its cgroups do not lie where those of the others do
		elsewhere := e.Run(t, engine.Busybox, "--network", "none", "--cgroup-parent", path.Dir(base)+"/elsewhere")
		e.MustDocker(t, "pause", elsewhere.Name)
	}
	e.KillContainer(t, stopped.Name)
	for _, flags := range [][]string{
		nil, {"-a"}, {"-l"}, {"-n", "3"}, {"-n", "1", "--filter", "status=exited"},
		{"-a", "--filter", "status=exited"}, {"--filter", "status=paused"},
		{"--filter", "label=tier=front"}, {"--filter", "label=tier=front", "--filter", "label=a=b"}, {"--filter", "label=tier=back"},
		{"--filter", "label=a", "--filter", "label=tier=back"},
		{"-a", "--filter", "name=" + up.Name}, {"--filter", "name=^/" + up.Name + "$"}, {"--filter", "name=^c-.*[0-9]$"}, {"--filter", "name=("},
		{"-a", "--filter", "id=" + stopped.ID[:12]}, {"--filter", "id=" + up.ID[3:12]},
		{"-a", "--filter", "before=" + stopped.Name}, {"-a", "--filter", "since=" + paused.ID}, {"--filter", "since=" + up.Name},
		{"--filter", "volume=/vol"}, {"--filter", "volume=/proc/version"}, {"--filter", "volume=/none"},
		{"--filter", "network=none"}, {"-a", "--filter", "network=host"},
		{"--filter", "expose=80"}, {"--filter", "expose=70-90/tcp"}, {"-a", "--filter", "expose=8001/udp"}, {"--filter", "publish=80"},
		{"--filter", "health=none"}, {"-a", "--filter", "health=starting", "--filter", "health=healthy"},
		{"-a", "--filter", "exited=137"}, {"-a", "--filter", "exited=0"}, {"--filter", "is-task=false"}, {"--filter", "is-task=true"},
		{"-a", "--filter", "ancestor=" + engine.Busybox}, {"--filter", "ancestor=none-such"},
	} {
		want := e.MustDocker(t, append([]string{"ps", "--no-trunc", "--format", psFields}, flags...)...)
		for _, source := range []string{"engine", "host"} {
			if source == "host" && (slices.Contains(flags, "-l") || slices.Contains(flags, "-n")) {
				continue // the newest of the host may be another engine's
			}
			got := e.Dx(t, append([]string{"--source", source, "ps", "--no-trunc", "--format", psFields}, flags...)...)
			if g, w := ours(e, got.Stdout), ours(e, want.Stdout); !slices.Equal(g, w) || source == "engine" && len(lines(got.Stdout)) != len(w) {
				t.Errorf("ps %q of %s: %s\n%s\ndocker:\n%s", flags, source, got.Stderr, strings.Join(g, "\n"), strings.Join(w, "\n"))
			}
		}
	}
	for _, filter := range []string{"colour=red", "status=maybe", "exited=x", "since=" + e.Name("none")} {
		want, got := e.Docker(t, "ps", "--filter", filter), e.Dx(t, "ps", "--filter", filter)
		if got.Code != want.Code || !strings.EqualFold(got.Stderr, strings.Replace(want.Stderr, "no such container ", "no such container: ", 1)) {
			t.Errorf("ps --filter %s: %v, docker: %v", filter, got, want)
		}
	}
}

// TestPsShowsWhatIsPaused on both kinds of freezer, also where the cgroups of the first container
// tell where those of the others are.
func TestPsShowsWhatIsPaused(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		e.Run(t, engine.Busybox)
		paused := e.Run(t, engine.Busybox)
		e.Run(t, engine.Busybox)
		e.MustDocker(t, "pause", paused.Name)
		for _, source := range []string{"engine", "host"} {
			r := e.Dx(t, "--source", source, "ps", "--no-trunc", "--filter", "status=paused", "--format", "{{.ID}}")
			if got := ours(e, r.Stdout); !slices.Equal(got, []string{paused.ID}) {
				t.Errorf("%s: paused are %q, want %s: %v", source, got, paused.ID, r)
			}
		}
		e.MustDocker(t, "unpause", paused.Name)
	})
}

// ours are the lines of this engine's containers, sorted: the host may run others.
func ours(e *engine.Engine, out string) []string {
	known := e.KnownIDs()
	list := slices.DeleteFunc(lines(out), func(l string) bool { return !slices.Contains(known, strings.Fields(l)[0]) })
	for i := range list {
		list[i] = aTime.ReplaceAllString(list[i], "T")
	}
	slices.Sort(list)
	return list
}

func lines(out string) []string {
	return slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return l == "" })
}

// TestPsTellsContradictions: Docker calls a container running whose process is
// gone, and does not know one that the kernel runs.
func TestPsTellsContradictions(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	status := func(flags ...string) string {
		r := e.Dx(t, append(flags, "ps", "--format", "{{.Pid}} {{.Status}}", "--filter", "name="+c.Name)...)
		return strings.TrimSpace(r.Stdout)
	}
	other := suite.Engine(t, engine.Host)
	if got := status("-H", other.Host); !strings.HasPrefix(got, fmt.Sprint(c.PID, " Up")) || !strings.HasSuffix(got, "(unknown to the engine)") {
		t.Errorf("a container of another engine: %q", got)
	}
	stopContainerd(t, e)
	stop(t, e.PID)
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container's process is gone", func() bool { return syscall.Kill(c.PID, 0) != nil })
	if got := status(); got != "0 Up (no such process)" {
		t.Errorf("a container whose process is gone: %q", got)
	}
}

// TestPsFindsOrphans: a container whose shim has died while nobody could clean up
// (moby#43491, containerd#8285). The kernel runs it on; dx sees it and gets in.
func TestPsFindsOrphans(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox, "--security-opt", "seccomp=unconfined", "--label", "a=b")
	orphan(t, e, c)
	r := e.Dx(t, "ps", "--no-trunc", "--format", "{{.ID}} {{.Pid}} {{.Status}}", "--filter", "name="+c.Name, "--filter", "label=a=b")
	got := strings.TrimSpace(r.Stdout)
	if !strings.HasPrefix(got, fmt.Sprintf("%s %d Up ", c.ID, c.PID)) || !strings.HasSuffix(got, "(its shim has died)") {
		t.Errorf("ps of an orphan: %v, want that it is up and its shim has died", r)
	}
	for _, ref := range []string{c.Name, c.ID[:12]} {
		r := e.Dx(t, "exec", ref, "cat", "/proc/sys/kernel/hostname")
		if strings.TrimSpace(r.Stdout) != c.ID[:12] {
			t.Errorf("exec %s: %+v", ref, r)
		}
	}
}
