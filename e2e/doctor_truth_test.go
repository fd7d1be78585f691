package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/engine"
	"dx/e2e/fakeengine"
)

// What doctor cannot see it does not judge: it says that it was not checked, and advises
// nothing that would end or remove anything.

// destroys is what ends, removes or restarts something.
var destroys = regexp.MustCompile(`\b(kill|rm|restart|prune|stop)\b`)

// judgesNothing fails if a report blames somebody or advises to end something. It wants
// said that the records were not compared.
func judgesNothing(t *testing.T, r doctorReport, code int) {
	t.Helper()
	if r.Status != "healthy" || code != 0 {
		t.Errorf("%s, exit %d: %+v\n%+v; want what was seen, and no fault", r.Status, code, r.Verdict, r.Findings)
	}
	for _, s := range r.Verdict.Next {
		if s.Changes || destroys.MatchString(s.Command) {
			t.Errorf("it advises %q, and has seen no fault", s.Command)
		}
	}
	if !slices.ContainsFunc(r.Findings, func(f doctorFinding) bool { return f.Kind == "not-checked" }) {
		t.Errorf("nothing is said to be unchecked: %+v", r.Findings)
	}
}

// TestDoctorOfSocketUser: who may use the socket and is not root sees no shim, no
// namespace and no mount of root's.
func TestDoctorOfSocketUser(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	for range 3 {
		e.Run(t, engine.Busybox)
	}
	if err := os.Chmod(strings.TrimPrefix(e.Host, "unix://"), 0o666); err != nil {
		t.Fatal(err)
	}
	m := newMallory(t)
	dx := m.dir + "/dx"
	copyFile(t, e.DxPath(t), dx)
	if err := os.Chmod(dx, 0o755); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprint(malloryID)
	r, code := reportOf(t, e, "setpriv", "--reuid", id, "--regid", id, "--clear-groups", dx, "doctor", "--format", "json", "--timeout", "10s")
	judgesNothing(t, r, code)
	if r.Engine.Running != 3 {
		t.Errorf("%d containers run, want the 3 of the engine's list", r.Engine.Running)
	}
}

// TestDoctorInToolbox: a container with the host's PIDs and the socket, and without the
// right to look at other processes.
func TestDoctorInToolbox(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	e.Run(t, engine.Busybox)
	socket := strings.TrimPrefix(e.Host, "unix://")
	for name, flags := range map[string][]string{"the host's PIDs": {"--pid", "host"}, "PIDs of its own": nil} {
		t.Run(name, func(t *testing.T) {
			c := e.Run(t, engine.Busybox, append(flags, "-v", e.DxPath(t)+":/dx:ro", "-v", socket+":/docker.sock")...)
			r, code := reportOf(t, e, "docker", "exec", c.Name, "/dx", "-H", "unix:///docker.sock", "doctor", "--format", "json", "--timeout", "10s")
			judgesNothing(t, r, code)
		})
	}
}

// TestDoctorOfAnotherKernel: an engine of a virtual machine or another host names
// processes that are somebody else's here, or nobody's.
func TestDoctorOfAnotherKernel(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	const elsewhere = "e1"
	id := strings.Repeat(elsewhere, 32)
	for name, pid := range map[string]int{"a PID of somebody else": os.Getpid(), "a PID of nobody": 1 << 22} {
		t.Run(name, func(t *testing.T) {
			answers := fakeengine.Edited(t, e.Host, func(body []byte) []byte {
				text := strings.ReplaceAll(string(body), c.ID, id)
				return []byte(strings.ReplaceAll(text, fmt.Sprintf(`"Pid":%d`, c.PID), fmt.Sprintf(`"Pid":%d`, pid)))
			})
			host := fakeengine.Proxy(t, answers, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
				r.URL.Path = strings.ReplaceAll(r.URL.Path, id, c.ID)
				pass.ServeHTTP(w, r)
			})
			r, code := examine(t, e, "--timeout", "10s", "-H", host)
			judgesNothing(t, r, code)
			if r.Engine.Doubt == "" {
				t.Errorf("the engine is taken for this host's: %+v", r.Engine)
			}
		})
	}
}

// TestDoctorWithoutDocker: a host on which nobody has installed Docker is not ill. It is
// a world of its own here, whose dockerd cannot be started.
func TestDoctorWithoutDocker(t *testing.T) {
	engine.Require(t, engine.Root, engine.Dockerd)
	script := `mount --make-rprivate /
for f in /usr/bin/dockerd /usr/sbin/dockerd /usr/local/bin/dockerd; do if [ -e $f ]; then mount --bind /dev/null $f; fi; done
if [ -d /var/lib/docker ]; then mount -t tmpfs none /var/lib/docker; fi
exec $DX doctor --format json`
	if _, err := os.Stat("/var/run/docker.sock"); err == nil {
		t.Skip("this host has a Docker of its own")
	}
	e := suite.Engine(t, engine.Host)
	r := e.Do(t, engine.Command{
		Args: []string{"env", "-u", "DOCKER_HOST", "unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-ec", script},
		Env:  []string{"DX=" + e.DxPath(t)},
	})
	var report doctorReport
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		t.Fatalf("%v: %v", err, r)
	}
	if report.Status != "healthy" || r.Code != 0 || !strings.HasPrefix(report.Verdict.Sentence, "no dockerd here") {
		t.Errorf("exit %d, %+v, want no dockerd here", r.Code, report.Verdict)
	}
}

// TestDoctorBesidePodman: a host with Podman and without Docker is not ill, and Podman's API
// is no dockerd that has lost its shims. Nothing is advised that ends anything of Podman's.
func TestDoctorBesidePodman(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	if _, err := os.Stat("/var/run/docker.sock"); err == nil {
		t.Skip("this host has a Docker of its own")
	}
	p := podmanHere(t, e)
	name, dir := e.Name("pod"), t.TempDir()
	// In PID and mount namespaces of their own, where no dockerd is to be seen.
	script := `mount --make-rprivate /
for f in /usr/bin/dockerd /usr/sbin/dockerd /usr/local/bin/dockerd; do if [ -e $f ]; then mount --bind /dev/null $f; fi; done
if [ -d /var/lib/docker ]; then mount -t tmpfs none /var/lib/docker; fi
"$@" run -d --name $NAME --network none app sleep 4242 >&2
$DX doctor --format json >$OUT/without; echo $? >$OUT/without.code
"$@" system service -t 0 unix://$OUT/podman.sock >&2 & service=$!
until [ -S $OUT/podman.sock ]; do sleep 0.1; done
$DX -H unix://$OUT/podman.sock doctor --timeout 20s --format json >$OUT/api; echo $? >$OUT/api.code
$DX ps --format '{{.Name}}' >$OUT/ps
kill $service
"$@" rm -f -t 0 $NAME >&2`
	r := e.Do(t, engine.Command{
		Args: slices.Concat([]string{"env", "-u", "DOCKER_HOST", "unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-uc", script, "sh"}, p.args),
		Env:  append([]string{"DX=" + e.DxPath(t), "NAME=" + name, "OUT=" + dir}, p.env...),
	})
	for of, want := range map[string]string{"without": "no dockerd here: podman", "api": "nothing is stuck"} {
		var report doctorReport
		text, _ := os.ReadFile(filepath.Join(dir, of))
		code, _ := os.ReadFile(filepath.Join(dir, of+".code"))
		if err := json.Unmarshal(text, &report); err != nil {
			t.Fatalf("%s: %v: %s, %v", of, err, text, r)
		}
		if report.Status != "healthy" || string(code) != "0\n" || !strings.HasPrefix(report.Verdict.Sentence, want) {
			t.Errorf("%s: exit %s, %+v, %+v, want no fault", of, code, report.Verdict, report.Findings)
		}
		for _, s := range report.Verdict.Next {
			if s.Changes || destroys.MatchString(s.Command) {
				t.Errorf("%s: it advises %q", of, s.Command)
			}
		}
	}
	if list, _ := os.ReadFile(filepath.Join(dir, "ps")); !strings.Contains(string(list), name) {
		t.Errorf("ps: %q, want %s; %v", list, name, r)
	}
}

// TestDoctorSparesOtherEngines: an engine whose socket is gone has none of the
// containers that another one has.
func TestDoctorSparesOtherEngines(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	stop(t, c.PID)
	r, code := examine(t, e, "-H", "unix:///nosuch/docker.sock")
	if code != 2 || r.Verdict.Cause == nil || r.Verdict.Cause.Kind != "dockerd-absent" || r.Engine.DataRoot == filepath.Join(e.Dir, "data") {
		t.Errorf("exit %d, %+v, %+v", code, r.Verdict, r.Engine)
	}
	for _, f := range r.Findings {
		if f.ID == c.ID {
			t.Errorf("of another engine's container: %+v", f)
		}
	}
}

// TestDoctorBlamesTheRightWaiter: a plain user's zombie, in a PID namespace of the user's
// own, is not what a container's init waits for.
func TestDoctorBlamesTheRightWaiter(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	m := newMallory(t)
	// A parent outside that does not reap what has died in the user's PID namespace.
	m.start(t, `unshare -U -r -p --fork sh -c 'until [ -e $DIR/stopped ]; do sleep 0.01; done' & echo $! >$DIR/unshare
until [ -n "$(cat /proc/$(cat $DIR/unshare)/task/*/children)" ]; do sleep 0.01; done
kill -STOP $(cat $DIR/unshare); touch $DIR/stopped; cat $DIR/unshare >$DIR/ready; wait`)
	guilty := m.wait(t, "ready")
	keepInitFromEnding(t, e, c)
	r, _ := examine(t, e, patient...)
	i := slices.IndexFunc(r.Findings, func(f doctorFinding) bool { return f.Kind == "init-exiting" && f.ID == c.ID })
	if i < 0 {
		t.Fatalf("no init that cannot end: %+v", r.Findings)
	}
	f := r.Findings[i]
	if fmt.Sprint(f.PID) == guilty || strings.Contains(strings.Join(f.Evidence, "\n"), "pid "+guilty+" ") {
		t.Errorf("the user's process %s is blamed: %+v", guilty, f)
	}
	if f.PID == 0 {
		t.Errorf("nobody is blamed: %+v", f)
	}
}

// TestDoctorSeesAReadOnlyDisk: a data root that the kernel has made read-only.
func TestDoctorSeesAReadOnlyDisk(t *testing.T) {
	e, dir := engineOnSmallDisk(t)
	// The file system itself has files open for writing: what is made read-only is a mount
	// of it above.
	data := dir + "/data"
	if err := unix.Mount(data, data, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(data, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", data, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	r, code := examine(t, e, "--timeout", "10s")
	if code != 1 || r.Verdict.Cause == nil || r.Verdict.Cause.Kind != "storage-read-only" || r.Verdict.Cause.Path != data {
		t.Errorf("exit %d, %+v", code, r.Verdict)
	}
}
