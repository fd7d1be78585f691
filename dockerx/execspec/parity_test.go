package execspec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/internal/testengine"
	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/proc"
)

// testEngine is a real engine, and what these tests do with one.
type testEngine struct{ *testengine.Engine }

func requireEngine(t *testing.T) testEngine {
	t.Helper()
	return testEngine{testengine.Require(t)}
}

func (e testEngine) resolver() *dockerx.Resolver {
	e.T.Helper()
	r, err := dockerx.NewResolver(dockerx.Options{Host: e.Host, From: dockerx.SourceEngine, APITimeout: 10 * time.Second, Warn: func(s string) { e.T.Error("warning: ", s) }})
	if err != nil {
		e.T.Fatal(err)
	}
	e.T.Cleanup(func() { r.Close() })
	return r
}

// Every kind of container is entered in every way, and what docker exec's
// process says of itself is held against the Spec.

var containers = map[string][]string{
	"default":        testengine.Default,
	"no passwd":      {"dx-test-bare", "/bin/busybox", "sleep", "1000"},
	"user":           {"--user", "app", "dx-test", "/bin/busybox", "sleep", "1000"},
	"user and group": {"--user", "app:wheel", "--group-add", "staff", "--group-add", "777", "dx-test", "/bin/busybox", "sleep", "1000"},
	"unknown uid":    {"--user", "4321", "dx-test", "/bin/busybox", "sleep", "1000"},
	"environment":    {"-e", "A=1", "-e", "B=2", "-e", "A=3", "-e", "PATH=/bin:/x", "-e", "TERM=vt100", "-e", "E=", "-h", "box", "dx-test", "/bin/busybox", "sleep", "1000"},
	"home is set":    {"-e", "HOME=/h", "dx-test", "/bin/busybox", "sleep", "1000"},
	"home is empty":  {"-e", "HOME=", "-e", "Z=1", "dx-test", "/bin/busybox", "sleep", "1000"},
	"workdir":        {"-w", "/etc", "dx-test", "/bin/busybox", "sleep", "1000"},
	"terminal":       {"-t", "dx-test", "/bin/busybox", "sleep", "1000"},
	"cap-drop":       {"--cap-drop", "ALL", "dx-test", "/bin/busybox", "sleep", "1000"},
	"cap-add":        {"--cap-drop", "CHOWN", "--cap-add", "NET_ADMIN", "dx-test", "/bin/busybox", "sleep", "1000"},
	"privileged":     {"--privileged", "dx-test", "/bin/busybox", "sleep", "1000"},
	"unconfined":     {"--security-opt", "seccomp=unconfined", "dx-test", "/bin/busybox", "sleep", "1000"},
	"no-new-privs":   {"--security-opt", "no-new-privileges", "dx-test", "/bin/busybox", "sleep", "1000"},
	"pid host":       {"--pid", "host", "dx-test", "/bin/busybox", "sleep", "1000"},
	"cgroupns":       {"--cgroupns", "private", "--ipc", "host", "--uts", "host", "dx-test", "/bin/busybox", "sleep", "1000"},
	"limits":         {"--ulimit", "nofile=512:1024", "--ulimit", "core=0", "--oom-score-adj", "300", "dx-test", "/bin/busybox", "sleep", "1000"},
	"cgroup parent":  {"--cgroup-parent", "/dxtest", "dx-test", "/bin/busybox", "sleep", "1000"},
	"init":           {"--init", "dx-test", "/bin/busybox", "sleep", "1000"},
}

var execs = map[string][]string{
	"plain":       nil,
	"user":        {"-u", "app"},
	"group":       {"-u", "app:staff"},
	"numbers":     {"-u", "1000:50"},
	"unknown":     {"-u", "5555"},
	"nohome":      {"-u", "nohome"},
	"environment": {"-e", "A=x", "-e", "N=1", "-e", "M=2", "-e", "N=3", "-e", "TERM=dumb"},
	"home":        {"-e", "HOME="},
	"removed":     {"-e", "HOSTNAME_", "-e", "E", "-e", "A"},
	"workdir":     {"-w", "/proc"},
	"tty":         {"-t"},
	"privileged":  {"--privileged"},
}

// often is the ways in which every kind of container is entered; those in
// thorough are entered in every way.
var (
	often    = []string{"plain", "user", "environment"}
	thorough = []string{"default", "environment", "no passwd", "user and group"}
)

func TestSpecEqualsDockerExec(t *testing.T) {
	e := requireEngine(t)
	r := e.resolver()
	for _, kind := range slices.Sorted(maps.Keys(containers)) {
		t.Run(kind, func(t *testing.T) {
			e := testEngine{&testengine.Engine{T: t, Host: e.Host}}
			t.Cleanup(removeParentCgroups)
			name := e.Run(containers[kind]...)
			for _, how := range slices.Sorted(maps.Keys(execs)) {
				if slices.Contains(often, how) || slices.Contains(thorough, kind) {
					t.Run(how, func(t *testing.T) { testEngine{&testengine.Engine{T: t, Host: e.Host}}.compare(r, name, execs[how]) })
				}
			}
		})
	}
}

// removeParentCgroups removes what --cgroup-parent /dxtest leaves behind, on v1
// (a level deeper) and on v2.
func removeParentCgroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/dxtest", "/sys/fs/cgroup/*/dxtest"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			os.Remove(dir) // one that is still in use stays
		}
	}
}

// compare holds the Spec against what docker exec yields, or its refusal
// against docker's.
func (e testEngine) compare(r *dockerx.Resolver, name string, flags []string) {
	t := e.T
	want, errDocker := e.Facts(flags, name)
	c, err := r.Resolve(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	spec, err := Of(context.Background(), c, optionsOf(flags))
	switch {
	case errDocker != nil && strings.Contains(errDocker.Error(), "operation not permitted"):
		t.Skip("this host's runtime cannot: ", errDocker)
	case errDocker != nil:
		if err == nil || !strings.Contains(errDocker.Error(), err.Error()) {
			t.Fatalf("docker refuses with %q, dx says %v", errDocker, err)
		}
	case err != nil:
		t.Fatal(err)
	default:
		e.compareFacts(c, spec, want)
		e.compareNamespaces(c, spec, want)
	}
}

func optionsOf(flags []string) Options {
	o := Options{Args: []string{"/bin/busybox"}}
	for i := 0; i < len(flags); i++ {
		switch flags[i] {
		case "-t":
			o.Tty = true
			continue
		case "--privileged":
			o.Privileged = true
			continue
		case "-u":
			o.User = flags[i+1]
		case "-w":
			o.WorkingDir = flags[i+1]
		case "-e":
			o.Env = append(o.Env, flags[i+1])
		}
		i++
	}
	return o
}

func (e testEngine) compareFacts(c *dockerx.Container, spec *Spec, want testengine.Facts) {
	p := spec.Process
	e.same("Env", p.Env, want.Env)
	e.same("Cwd", p.Cwd, want.Cwd)
	e.same("UID", p.User.UID, want.Status.UID[1])
	e.same("GID", p.User.GID, want.Status.GID[1])
	e.same("AdditionalGids", slices.Sorted(slices.Values(p.User.AdditionalGids)), want.Status.Groups)
	e.same("Umask", p.User.Umask, want.Status.Umask)
	e.same("NoNewPrivileges", p.NoNewPrivileges, want.Status.NoNewPrivs)
	e.same("Seccomp", spec.Seccomp != nil, want.Status.Seccomp == unix.SECCOMP_MODE_FILTER)
	e.same("OOMScoreAdj", fmt.Sprint(*p.OOMScoreAdj), want.OOM)
	e.same("bounding set", capMask(p.Capabilities.Bounding), want.Status.CapBnd)
	if p.User.UID == 0 {
		// For others execve(2) has cleared them.
		e.same("permitted set", capMask(p.Capabilities.Permitted), want.Status.CapPrm)
		e.same("effective set", capMask(p.Capabilities.Effective), want.Status.CapEff)
	}
	for _, l := range p.Rlimits {
		w := want.Limits[slices.IndexFunc(want.Limits, func(w specs.POSIXRlimit) bool { return w.Type == l.Type })]
		if l.Type == "RLIMIT_NOFILE" && w.Soft == w.Hard {
			// runc's Go runtime raises the soft limit that runc has just set
			// (golang/go#46279, opencontainers/runc#4195): a defect, not a rule.
			w.Soft = l.Soft
		}
		e.same(l.Type, l, w)
	}
	for key := range spec.Origins {
		if name, ok := strings.CutPrefix(key, "Env["); ok && !slices.ContainsFunc(p.Env, func(v string) bool { return strings.HasPrefix(v, strings.TrimSuffix(name, "]")+"=") }) {
			e.T.Errorf("an origin is given for %s, which is not in the environment", key)
		}
	}
	e.compareCgroups(c, spec, want)
}

// compareCgroups: what docker exec's process sees of its cgroups is the tail of
// the directories, whole where it is in no cgroup namespace. Hierarchies of
// which the engine does not know it has left alone.
func (e testEngine) compareCgroups(c *dockerx.Container, spec *Spec, want testengine.Facts) {
	listed := map[string]bool{}
	for _, cg := range spec.Cgroups {
		listed[cg.Controller] = true
		path, ok := want.Cgroups[cg.Controller]
		if !ok || !strings.HasSuffix(cg.Path+"/", strings.TrimSuffix(path, "/")+"/") || !strings.Contains(cg.Path, c.ID) {
			e.T.Errorf("cgroup %q: %s, but the process of docker exec is in %q", cg.Controller, cg.Path, path)
		}
	}
	for controller, path := range want.Cgroups {
		if !listed[controller] && strings.Contains(path, c.ID) {
			e.T.Errorf("cgroup %q: none, but the process of docker exec is in %q", controller, path)
		}
	}
	if len(spec.Cgroups) == 0 {
		e.T.Error("no cgroups")
	}
}

// compareNamespaces: joining what the Spec lists leads to where docker
// exec's process is.
func (e testEngine) compareNamespaces(c *dockerx.Container, spec *Spec, want testengine.Facts) {
	self, err := proc.Self()
	if err != nil {
		e.T.Fatal(err)
	}
	defer self.Close()
	for _, ns := range nsops.Types {
		from := self
		if slices.Contains(spec.Namespaces, ns) {
			from = c.Process
		}
		link, err := from.Readlink("ns/" + string(ns))
		if errors.Is(err, fs.ErrNotExist) {
			continue // this kernel has none such
		}
		if err != nil {
			e.T.Fatal(err)
		}
		e.same("namespace "+string(ns), link, want.NS[ns])
	}
}

func (e testEngine) same(what string, got, want any) {
	e.T.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		e.T.Errorf("%s differs (-docker exec +dx):\n%s", what, diff)
	}
}

// capMask is computed apart from caps.go.
func capMask(names []string) uint64 {
	var m uint64
	for _, c := range capability.ListKnown() {
		if slices.Contains(names, "CAP_"+strings.ToUpper(c.String())) {
			m |= 1 << c
		}
	}
	return m
}

// A passwd that is mounted over the image's is not where -u looks, but where
// HOME is found.
func TestMountedPasswd(t *testing.T) {
	e := requireEngine(t)
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("root:x:0:0::/mounted:/bin/sh\nother:x:1:1::/o:/bin/sh\napp:x:1000:7::/a:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	name := e.Run("-v", file+":/etc/passwd", "dx-test", "/bin/busybox", "sleep", "1000")
	r := e.resolver()
	for _, user := range []string{"root", "app", "other", "nohome"} {
		t.Run(user, func(t *testing.T) {
			testEngine{&testengine.Engine{T: t, Host: e.Host}}.compare(r, name, []string{"-u", user})
		})
	}
}

// A process that the container's init started has the container's posture, and
// so has one that docker exec started, by its number alone.
func TestProcessInContainer(t *testing.T) {
	e := requireEngine(t)
	r := e.resolver()
	name := e.Run("-e", "A=1", "--cap-drop", "ALL", "dx-test", "/bin/busybox", "sh", "-c", "/bin/busybox sleep 1000 & wait")
	want := e.execSpec(r, name)
	e.Must("exec", "-d", name, "/bin/busybox", "sleep", "2000")
	var pids []string
	await.Until(t, "docker top has three processes", func() bool {
		pids = strings.Fields(e.Must("top", name, "-o", "pid"))[1:]
		return len(pids) == 3
	})
	for _, pid := range pids {
		got := e.execSpec(r, "pid:"+pid)
		e.same("Process of pid "+pid, got.Process, want.Process)
		e.same("Seccomp", got.Seccomp, want.Seccomp)
		e.same("Cgroups", got.Cgroups, want.Cgroups)
		e.same("Namespaces", got.Namespaces, want.Namespaces)
		e.same("Keyring", got.Keyring, want.Keyring)
	}
}

func (e testEngine) execSpec(r *dockerx.Resolver, ref string) *Spec {
	e.T.Helper()
	c, err := r.Resolve(context.Background(), ref)
	if err != nil {
		e.T.Fatalf("%s: %v", ref, err)
	}
	defer c.Close()
	spec, err := Of(context.Background(), c, Options{Args: []string{"true"}})
	if err != nil {
		e.T.Fatalf("%s: %v", ref, err)
	}
	return spec
}
