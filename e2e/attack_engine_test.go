package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// delegatedCgroup is a cgroup that belongs to the user, as a session manager gives one.
func (m *mallory) delegatedCgroup(t *testing.T, e *engine.Engine) string {
	t.Helper()
	dir := filepath.Join(cgroupTop(), e.Name("user"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroups(t, dir) })
	for _, name := range []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"} {
		if err := os.Chown(filepath.Join(dir, name), malloryID, malloryID); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return dir
}

// cgroupTop is the root of a hierarchy in which a cgroup needs no setting up.
func cgroupTop() string {
	const top = "/sys/fs/cgroup"
	if !engine.HostIsCgroup2() {
		for _, name := range []string{"pids", "memory", "systemd", "freezer"} {
			if _, err := os.Stat(filepath.Join(top, name, "cgroup.procs")); err == nil {
				return filepath.Join(top, name)
			}
		}
	}
	return top
}

func removeCgroups(t *testing.T, dir string) {
	t.Helper()
	eventually(t, dir+" can be removed", func() bool {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			if entry.IsDir() {
				_ = os.Remove(filepath.Join(dir, entry.Name()))
			}
		}
		return os.Remove(dir) == nil
	})
}

// place moves the user's processes into a cgroup that the user has called name.
func (m *mallory) place(t *testing.T, cgroup, name string, pids ...string) {
	t.Helper()
	dir := filepath.Join(cgroup, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, malloryID, malloryID); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(pid), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// apartProcess is a process of the user's in namespaces of its own, which runs on as
// PID 1 there.
const apartProcess = `unshare -U -r -m -p -f --mount-proc --kill-child sh -ec '
	mount --bind $DIR/true /usr/bin/true
	exec sleep 4242' & until c=$(cat /proc/$!/task/$!/children) && [ -n "$c" ]; do sleep 0.05; done
until grep -q sleep /proc/${c% }/comm; do sleep 0.05; done
echo $c >$DIR/ready; wait`

// plainProcess is one in the host's namespaces.
const plainProcess = `sleep 4242 & echo $! >$DIR/ready; wait`

// TestAttackByEngine: an engine of a user's says that a process of the user's is the
// container web, in a cgroup that the user has called so. Its word starts nothing.
func TestAttackByEngine(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, script := range []string{plainProcess, apartProcess} {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(network, func(t *testing.T) {
				m := newMallory(t)
				m.program(t, "true")
				cgroup := m.delegatedCgroup(t, e)
				m.start(t, script)
				pid := m.wait(t, "ready")
				id := strings.Repeat("e7", 32)
				m.place(t, cgroup, "docker-"+id+".scope", pid)
				address := m.liar(t, network, id, pid)
				for _, verb := range [][]string{{"exec", "--ignore-caller-limits", "web", "true"}, {"exec", "--ns", "mnt", "web", "true"}, {"shell", "web", "-c", "true"}} {
					r := e.Dx(t, append([]string{"-H", address}, verb...)...)
					m.mustGainNothing(t, fmt.Sprintf("%s (%+v)", verb, r))
					if r.Code != 125 || !strings.Contains(r.Stderr, "is not believed") || !strings.Contains(r.Stderr, fmt.Sprint("uid ", malloryID)) {
						t.Errorf("%q at the word of a user's engine: %+v, want a refusal that names the rule", verb, r)
					}
				}
				// It is shown, by the word of the engine that was asked.
				if r := e.Dx(t, "-H", address, "ps", "--format", "{{.Name}} {{.Status}}"); !strings.Contains(r.Stdout, "web Up") {
					t.Errorf("ps of a user's engine: %+v", r)
				}
			})
		}
	}
}

// liar starts the user's engine and returns its address for dx -H.
func (m *mallory) liar(t *testing.T, network, id, pid string) string {
	t.Helper()
	address := "unix:" + m.dir + "/s"
	if network == "tcp" {
		address = "tcp:127.0.0.1:" + strconv.Itoa(freePort(t))
	}
	cmd := m.run(t, nil, suite.Build(t, "dx/e2e/attacker/liar"), address, id, pid, m.dir+":/usr/bin:/bin")
	network, where, _ := strings.Cut(address, ":")
	eventually(t, "the user's engine listens", func() bool {
		conn, err := net.Dial(network, where)
		if err != nil {
			return false
		}
		conn.Close()
		return cmd.Process != nil
	})
	return network + "://" + where
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// impersonation is an init of a PID namespace whose mounts once led to a directory
// x/containers/ID of the user's, which is now a link to Docker's own.
const impersonation = `mkdir -p x/containers/$ID; echo mine >x/containers/$ID/hostname
unshare -U -r -m -p -f --mount-proc --kill-child sh -ec '
	mount --bind $DIR/x/containers/$ID/hostname /etc/hostname
	mount --bind $DIR/true /usr/bin/true
	exec sleep 4242' & until c=$(cat /proc/$!/task/$!/children) && [ -n "$c" ]; do sleep 0.05; done
until grep -q sleep /proc/${c% }/comm; do sleep 0.05; done
rm -r x/containers; ln -s $CONTAINERS x/containers
echo $c >$DIR/ready; wait`

// TestAttackImpersonation: whoever has the cgroup's name and shows Docker's files takes
// no container's place that does not run: not its name, nor its environment's secrets.
func TestAttackImpersonation(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Create(t, engine.Busybox, "-e", "PASSWORD=hunter2")
	m := newMallory(t)
	m.program(t, "true")
	cgroup := m.delegatedCgroup(t, e)
	m.start(t, impersonation, "ID="+c.ID, "CONTAINERS="+e.Dir+"/data/containers")
	pid := m.wait(t, "ready")
	m.place(t, cgroup, "docker-"+c.ID+".scope", pid)
	stop(t, e.PID)
	for _, flags := range [][]string{{"--source", "host"}, {"--api-timeout", "100ms"}} {
		if r := e.Dx(t, append(flags, "ps", "--no-trunc")...); strings.Contains(r.Stdout, c.ID) {
			t.Errorf("%q: a container that does not run is listed: %+v", flags, r)
		}
		for _, ref := range []string{c.Name, c.ID, "pid:" + pid} {
			r := e.Dx(t, append(flags, "exec", "-u", "0", "--ignore-caller-limits", ref, "true")...)
			m.mustGainNothing(t, "exec "+ref)
			if strings.Contains(r.Stdout, "program of the user") && !strings.HasPrefix(ref, "pid:") {
				t.Errorf("%q: the user's process is taken for %s: %+v", flags, ref, r)
			}
			if strings.Contains(r.Stdout, "hunter2") {
				t.Errorf("%q: what runs beside the user's process by %s gets the container's secrets: %+v", flags, ref, r)
			}
		}
	}
}

// TestAttackMembership: a process in a cgroup that a user has called after a container is
// none of that container's, whoever asks: top, who, ns.
func TestAttackMembership(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	m := newMallory(t)
	m.program(t, "true")
	cgroup := m.delegatedCgroup(t, e)
	m.start(t, apartProcess)
	pid := m.wait(t, "ready")
	m.place(t, cgroup, "docker-"+c.ID+".scope", pid)
	if r := e.Dx(t, "top", c.Name); r.Code != 0 || slices.Contains(strings.Fields(r.Stdout), pid) {
		t.Errorf("top takes the user's process %s for one of the container's: %+v", pid, r)
	}
	if r := e.Dx(t, "who", pid); r.Code == 0 {
		t.Errorf("who takes the user's process for one of a container's: %+v", r)
	}
	// COMMANDS is sleep (PID), WHO "in NAME".
	for _, args := range [][]string{{"ns", "--procs"}, {"ns", "--procs", c.Name}} {
		for _, line := range lines(e.Dx(t, args...).Stdout) {
			if strings.Contains(line, "("+pid+")") && strings.Contains(line, "in "+c.Name) {
				t.Errorf("%q: the user's process is said to be in %s: %q", args, c.Name, line)
			}
		}
	}
}
