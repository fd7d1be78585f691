package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// space is what a line of `dx ns --tree --format json` is documented to be.
type space struct {
	Type       string
	Inode      uint64
	Device     uint64
	Host       bool
	Parent     uint64
	Owner      uint64
	OwnerUID   *uint32
	Containers []string
	Processes  []struct {
		Pid       int
		Command   string
		Container string
	}
	Held   int
	HeldBy []hold
}

// hold is a way in which a namespace is kept.
type hold struct {
	Pid      int
	Command  string
	Path     string
	MountNS  uint64
	FD       *int
	Socket   bool
	TID      int
	Children bool
}

func dxSpaces(t *testing.T, e *engine.Engine, args ...string) map[uint64]space {
	t.Helper()
	r := e.Dx(t, append([]string{"ns", "--format", "json"}, args...)...)
	if r.Code != 0 {
		t.Fatalf("dx ns %q: %+v", args, r)
	}
	out := map[uint64]space{}
	for _, line := range lines(r.Stdout) {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		var s space
		if err := dec.Decode(&s); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out[s.Inode] = s
	}
	return out
}

func (s space) pids() []int {
	var pids []int
	for _, p := range s.Processes {
		pids = append(pids, p.Pid)
	}
	return pids
}

// processNamed finds the host's PID of a process by its arguments.
func processNamed(t *testing.T, args ...string) int {
	t.Helper()
	want, found := strings.Join(args, "\x00")+"\x00", 0
	await.Until(t, fmt.Sprintf("%q runs", args), func() bool {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			if b, err := os.ReadFile(file); err == nil && string(b) == want {
				found, _ = strconv.Atoi(strings.Split(file, "/")[2])
				return true
			}
		}
		return false
	})
	return found
}

// sandboxing lets a container make namespaces.
var sandboxing = []string{"--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}

func TestNsSaysWhoShares(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		a := e.Run(t, engine.Busybox)
		b := e.Run(t, engine.Busybox, "--network", "container:"+a.Name, "--pid", "container:"+a.Name)
		c := e.Run(t, engine.Busybox, "--network", "host")
		for _, source := range []string{"auto", "host"} {
			got := sharers(t, e, source, a)
			for _, kind := range nsTypes {
				want := ""
				switch own := kernelInode(t, a.PID, kind); own {
				case kernelInode(t, 1, kind):
					want = "host"
				case kernelInode(t, b.PID, kind):
					want = b.Name
				}
				if got[kind] != want {
					t.Errorf("%s, source %s: shared with %q, want %q", kind, source, got[kind], want)
				}
			}
		}
		if got := sharers(t, e, "auto", c)["net"]; got != "host" {
			t.Errorf("--network host: shared with %q", got)
		}
		if text := e.Dx(t, "ns", a.Name).Stdout; !strings.Contains(text, "shared with "+b.Name) {
			t.Errorf("the table does not name %s:\n%s", b.Name, text)
		}
		if text := e.Dx(t, "ns", fmt.Sprintf("pid:%d", a.PID)).Stdout; !strings.Contains(text, b.Name) {
			t.Errorf("by pid, the table does not name %s:\n%s", b.Name, text)
		}
		for _, ns := range dxNs(t, e, a.Name, b.Name)[0].Namespaces {
			if want := kernelInode(t, a.PID, ns.Type) != kernelInode(t, b.PID, ns.Type); ns.Differs != want {
				t.Errorf("%s differs: %v, want %v", ns.Type, ns.Differs, want)
			}
		}
	})
}

// sharers are the names in the entries of one container, which is asked for by ID:
// other engines of the host may have one of that name.
func sharers(t *testing.T, e *engine.Engine, source string, c engine.Container) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, ns := range dxNs(t, e, "--source", source, c.ID)[0].Namespaces {
		out[ns.Type] = strings.Join(ns.SharedWith, ",")
	}
	return out
}

func TestNsShowsWhoIsElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, sandboxing...)
		// By docker exec: below the shim, not below the container's init.
		seconds := strconv.Itoa(700000 + c.PID)
		e.MustDocker(t, "exec", "-d", c.Name, "unshare", "-n", "-u", "sleep", seconds)
		e.MustDocker(t, "exec", "-d", c.Name, "sleep", "1"+seconds)
		pid := processNamed(t, "sleep", seconds)
		home := processNamed(t, "sleep", "1"+seconds)
		inside := dxNs(t, e, c.Name)[0].Inside
		if len(inside) != 1 || inside[0].Pid != pid || inside[0].Command != "sleep" {
			t.Fatalf("inside: %+v, want pid %d and not %d", inside, pid, home)
		}
		kinds := map[string]uint64{}
		for _, p := range inside[0].Namespaces {
			kinds[p.Type] = p.Inode
		}
		if len(kinds) != 2 || kinds["net"] != kernelInode(t, pid, "net") || kinds["uts"] != kernelInode(t, pid, "uts") {
			t.Errorf("elsewhere in %v", kinds)
		}
		ns := dxSpaces(t, e, "--procs", c.Name)
		for _, p := range []int{pid, home, c.PID} {
			for _, kind := range nsTypes {
				if s := ns[kernelInode(t, p, kind)]; s.Type != kind || !slices.Contains(s.pids(), p) {
					t.Errorf("pid %d is not in its %s namespace: %+v", p, kind, s)
				}
			}
		}
		if s := ns[kernelInode(t, pid, "net")]; len(s.Containers) != 0 || s.Processes[0].Container != c.Name {
			t.Errorf("the sandbox: %+v", s)
		}
	})
}

// TestNsPrintsNothingRaw: a process's name may be anything.
func TestNsPrintsNothingRaw(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, sandboxing...)
	e.MustDocker(t, "exec", "-d", c.Name, "unshare", "-n", "sh", "-c", `printf 'a\033[2Jb' >/proc/$$/comm; while :; do sleep 1000; done`)
	await.Until(t, "dx ns shows the name, escaped", func() bool { return strings.Contains(e.Dx(t, "ns", c.Name).Stdout, `a\x1b[2Jb`) })
	for _, args := range [][]string{{c.Name}, {"--procs", c.Name}, {"--tree", "-a", c.Name}} {
		if r := e.Dx(t, append([]string{"ns"}, args...)...); strings.ContainsRune(r.Stdout+r.Stderr, 0x1b) || !strings.Contains(r.Stdout, `a\x1b[2Jb`) {
			t.Errorf("dx ns %q: %q", args, r.Stdout)
		}
	}
}

// TestNsTreeIsLsns: the relations of util-linux, also where a container has a user
// namespace of its own.
func TestNsTreeIsLsns(t *testing.T) {
	engine.Require(t, engine.Lsns)
	for name, o := range map[string]engine.Options{"plain": {}, "userns-remap": {UsernsRemap: true}} {
		t.Run(name, func(t *testing.T) {
			e := suite.Start(t, o)
			a := e.Run(t, engine.Busybox)
			b := e.Run(t, engine.Busybox, "--network", "container:"+a.Name)
			treeIsLsns(t, e, a, b)
		})
	}
}

func treeIsLsns(t *testing.T, e *engine.Engine, a, b engine.Container) {
	t.Helper()
	r := e.Do(t, engine.Command{Args: []string{"lsns", "-J", "-o", "NS,TYPE,PNS,ONS,NPROCS,PID"}})
	var lsns struct {
		Namespaces []struct {
			NS, PNS, ONS uint64
			Type         string
			NProcs       int
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &lsns); err != nil {
		t.Fatalf("lsns: %v in %s", err, r.Stdout)
	}
	ours := dxSpaces(t, e, "--tree", "--all", a.Name, b.Name)
	mine := map[uint64]bool{}
	for _, c := range []engine.Container{a, b} {
		for _, kind := range nsTypes {
			mine[kernelInode(t, c.PID, kind)] = true
		}
	}
	seen := 0
	for _, l := range lsns.Namespaces {
		if !mine[l.NS] {
			continue
		}
		seen++
		got := ours[l.NS]
		if got.Type != l.Type || got.Parent != l.PNS || got.Owner != l.ONS {
			t.Errorf("%s %d: parent %d owner %d, lsns: %+v", got.Type, l.NS, got.Parent, got.Owner, l)
		}
		if !got.Host && len(got.Processes) != l.NProcs {
			t.Errorf("%s %d: %d processes, lsns %d", got.Type, l.NS, len(got.Processes), l.NProcs)
		}
	}
	if seen != len(mine) {
		t.Errorf("lsns has %d of %d namespaces", seen, len(mine))
	}
	net := ours[kernelInode(t, a.PID, "net")]
	if want := []string{a.Name, b.Name}; !slices.Equal(sorted(net.Containers), sorted(want)) {
		t.Errorf("in the network namespace: %v, want %v", net.Containers, want)
	}
	user := ours[kernelInode(t, a.PID, "user")]
	if user.OwnerUID == nil || *user.OwnerUID != 0 {
		t.Errorf("dockerd made the user namespace as root: %+v", user)
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// start runs a helper until the end of the test. It has said a line when this returns.
func start(t *testing.T, extra []*os.File, args ...string) int {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = extra
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return cmd.Process.Pid
}

// TestNsFindsMountedNamespaces: as ip netns add makes them, in a mount namespace that
// ends with the test.
func TestNsFindsMountedNamespaces(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	file := filepath.Join(t.TempDir(), "net")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	keeper := start(t, nil, "unshare", "-m", "--propagation", "private", "sh", "-c",
		`unshare -n mount --bind /proc/self/ns/net "$0" && echo && exec sleep 1000`, file)
	seen := fmt.Sprintf("/proc/%d/root%s", keeper, file)
	var st unix.Stat_t
	if err := unix.Stat(seen, &st); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--tree", "-a"}, {"--procs", "-a"}, {fmt.Sprint("inode:", st.Ino)}, {fmt.Sprintf("net:[%d]", st.Ino)}, {fmt.Sprintf("inode:%d:%d", st.Dev, st.Ino)}, {seen}} {
		s, ok := dxSpaces(t, e, args...)[st.Ino]
		if !ok || s.Type != "net" || len(s.Processes) != 0 || len(s.HeldBy) == 0 || s.Owner != kernelInode(t, 1, "user") {
			t.Fatalf("dx ns %q: %+v", args, s)
		}
		if h := s.HeldBy[0]; h.Path != file || h.Pid != keeper || h.MountNS != kernelInode(t, keeper, "mnt") {
			t.Errorf("dx ns %q: held by %+v", args, h)
		}
	}
	if _, ok := dxSpaces(t, e, "--tree")[st.Ino]; ok {
		t.Error("shown without -a")
	}
	if text := e.Dx(t, "ns", seen).Stdout; !strings.Contains(text, "mounted on "+file) {
		t.Errorf("table:\n%s", text)
	}
}

func TestNsFindsNamespacesHeldByAFile(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	maker := exec.Command("unshare", "-n", "sh", "-c", "echo; exec sleep 1000")
	out, err := maker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := maker.Start(); err != nil {
		t.Fatal(err)
	}
	defer maker.Wait()
	defer maker.Process.Kill()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	inode := kernelInode(t, maker.Process.Pid, "net")
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", maker.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	holder := start(t, []*os.File{f}, "sh", "-c", "echo; exec sleep 1000")
	f.Close()
	maker.Process.Kill()
	maker.Wait()
	for _, args := range [][]string{{"--tree", "-a"}, {fmt.Sprint("inode:", inode)}, {fmt.Sprintf("/proc/%d/fd/3", holder)}} {
		s := dxSpaces(t, e, args...)[inode]
		if s.Type != "net" || len(s.Processes) != 0 || len(s.HeldBy) != 1 || s.Owner != kernelInode(t, 1, "user") {
			t.Fatalf("dx ns %q: %+v", args, s)
		}
		if h := s.HeldBy[0]; h.Pid != holder || h.FD == nil || *h.FD != 3 {
			t.Errorf("dx ns %q: held by %+v", args, h)
		}
	}
}

// TestNsOfANamespace: who is in it, by container and process, as nsenter sees it.
func TestNsOfANamespace(t *testing.T) {
	engine.Require(t, engine.Lsns)
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	guest := start(t, nil, "nsenter", "-n", "-t", strconv.Itoa(c.PID), "sh", "-c", "echo; exec sleep 1000")
	inode := kernelInode(t, c.PID, "net")
	for _, ref := range []string{fmt.Sprint("inode:", inode), fmt.Sprintf("/proc/%d/ns/net", c.PID)} {
		s := dxSpaces(t, e, ref)[inode]
		if !slices.Equal(s.Containers, []string{c.Name}) || !slices.Contains(s.pids(), guest) || !slices.Contains(s.pids(), c.PID) || len(s.Processes) != 2 {
			t.Errorf("dx ns %s: %+v", ref, s)
		}
		for _, p := range s.Processes {
			if p.Pid == guest && p.Container != "" {
				t.Errorf("nsenter -n is not in %s", p.Container)
			}
		}
	}
}

func TestNsRefusesWhatIsNoNamespace(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, ref := range []string{"inode:1", "inode:x", "/etc/passwd", "/proc/self/ns/nosuch", "net:[1]", "/nosuch/x"} {
		if r := e.Dx(t, "ns", ref); r.Code != 1 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("dx ns %s: %+v", ref, r)
		}
	}
}
