package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// whoLine is what a line of `dx who --format json` is documented to be.
type whoLine struct {
	Arg, Kind, Name, ID string
	Pid                 int
	How, Source, Engine string
}

func dxWho(t *testing.T, e *engine.Engine, args ...string) ([]whoLine, engine.Result) {
	t.Helper()
	r := e.Dx(t, append([]string{"who", "--format", "json"}, args...)...)
	var out []whoLine
	for _, line := range lines(r.Stdout) {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		var l whoLine
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("dx who %q: %v in %s", args, err, line)
		}
		out = append(out, l)
	}
	return out, r
}

// isOf says that arg belongs to one container, as that kind and for that reason.
func isOf(t *testing.T, e *engine.Engine, c engine.Container, arg, kind, how string) {
	t.Helper()
	got, r := dxWho(t, e, arg)
	if r.Code != 0 || len(got) != 1 {
		t.Errorf("dx who %s: %+v", arg, r)
		return
	}
	l := got[0]
	if l.Arg != arg || l.Kind != kind || l.Name != c.Name || l.ID != c.ID || l.Pid != c.PID || !strings.Contains(l.How, how) {
		t.Errorf("dx who %s: %+v, want %s %q of %+v", arg, l, kind, how, c)
	}
}

// output runs a program of the host's and returns what it says.
func output(t *testing.T, args ...string) string {
	t.Helper()
	b, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, b)
	}
	return strings.TrimSpace(string(b))
}

func inspected(t *testing.T, e *engine.Engine, ref, template string) string {
	t.Helper()
	r := e.MustDocker(t, "inspect", "-f", template, ref)
	if strings.TrimSpace(r.Stdout) == "" {
		t.Fatalf("docker inspect -f %s %s says nothing", template, ref)
	}
	return strings.TrimSpace(r.Stdout)
}

// TestWhoseProcess: by PIDs, namespaces and cgroups, as the kernel and docker tell them.
func TestWhoseProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		e.Run(t, engine.Busybox) // another, which must not be named
		s := seconds()
		e.MustDocker(t, "exec", "-d", c.Name, "sleep", s)
		execed := inside(t, "sleep "+s)
		isOf(t, e, c, strconv.Itoa(c.PID), "pid", "its init (PID 1 there)")
		isOf(t, e, c, fmt.Sprintf("pid:%d", execed), "pid", "in its cgroup ")
		isOf(t, e, c, strconv.Itoa(joined(t, c, "-m", "-p")), "pid", "its mount and PID namespaces and not in its cgroup")
		for _, typ := range []string{"net", "mnt", "pid", "ipc", "uts"} {
			link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", execed, typ))
			if err != nil {
				t.Fatal(err)
			}
			isOf(t, e, c, link, "inode", "its "+typ+" namespace")
			isOf(t, e, c, strings.Trim(strings.TrimPrefix(link, typ+":"), "[]"), "inode", "its "+typ+" namespace")
		}
		isOf(t, e, c, fmt.Sprintf("/proc/%d/ns/net", execed), "inode", "its net namespace")
		for _, line := range cgroupLines(t, execed, c.ID) {
			isOf(t, e, c, line, "cgroup", c.ID)
			_, path, _ := strings.Cut(strings.TrimLeft(line, "0123456789"), ":/")
			isOf(t, e, c, "cgroup:/"+path+"/below", "cgroup", c.ID)
		}

		// A process that has left its init's namespace.
		s = seconds()
		if r := e.Docker(t, "exec", "-d", "--privileged", c.Name, "unshare", "-u", "sleep", s); r.Code != 0 {
			t.Logf("docker exec --privileged does not work here: %v", r)
		} else {
			pid := inside(t, "sleep "+s)
			link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/uts", pid))
			if err != nil {
				t.Fatal(err)
			}
			isOf(t, e, c, link, "inode", fmt.Sprintf("of its process %d, not of its init", pid))
		}
	})
}

func cgroupLines(t *testing.T, pid int, id string) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range lines(string(b)) {
		if strings.Contains(line, id) {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no cgroup of %d holds %s: %s", pid, id, b)
	}
	return out
}

// TestWhosePath: the directories that docker itself names.
func TestWhosePath(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		volume, bind := e.Name("v"), filepath.Join(e.Dir, e.Name("bind"))
		if err := os.Mkdir(bind, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.MustDocker(t, "volume", "rm", "-f", volume) }) // after its container
		c := e.Run(t, engine.Busybox, "-v", volume+":/data", "-v", bind+":/bound")
		other := e.Run(t, engine.Busybox)
		mountpoint := inspected(t, e, volume, "{{.Mountpoint}}")
		isOf(t, e, c, mountpoint, "path", "mounted at /data")
		isOf(t, e, c, mountpoint+"/not/yet/there", "path", "mounted at /data")
		isOf(t, e, c, "path:"+bind+"/x", "path", "mounted at /bound")
		link := bind + "-link"
		if err := os.Symlink(bind, link); err != nil {
			t.Fatal(err)
		}
		isOf(t, e, c, link, "path", "mounted at /bound")
		if inspected(t, e, c.Name, "{{.Driver}}") == "overlay2" {
			isOf(t, e, c, inspected(t, e, c.Name, "{{.GraphDriver.Data.UpperDir}}"), "path", "upper directory")
			isOf(t, e, c, inspected(t, e, c.Name, "{{.GraphDriver.Data.WorkDir}}"), "path", "work directory")
			isOf(t, e, c, inspected(t, e, c.Name, "{{.GraphDriver.Data.MergedDir}}")+"/etc/passwd", "path", "root file system")
			lower := strings.Split(inspected(t, e, c.Name, "{{.GraphDriver.Data.LowerDir}}"), ":")
			got, r := dxWho(t, e, lower[len(lower)-1])
			names := map[string]bool{}
			for _, l := range got {
				names[l.Name] = true
			}
			if !names[c.Name] || !names[other.Name] {
				t.Errorf("a layer of the image: %+v", r)
			}
		}
		files := filepath.Dir(inspected(t, e, c.Name, "{{.LogPath}}"))
		isOf(t, e, c, files, "path", "ID is in the path")

		// The same of one that does not run.
		upper := inspected(t, e, c.Name, "{{if eq .Driver \"overlay2\"}}{{.GraphDriver.Data.UpperDir}}{{else}}/{{end}}")
		e.KillContainer(t, c.Name)
		c.PID = 0
		isOf(t, e, c, mountpoint, "path", "mounted at /data when it runs; it does not run (exited)")
		isOf(t, e, c, bind+"/x", "path", "mounted at /bound when it runs")
		isOf(t, e, c, files, "path", "ID is in the path")
		if upper != "/" {
			isOf(t, e, c, upper+"/etc", "path", "the layer that it writes to")
		}
	})
}

// TestWhoseNetwork: a veth pair of the test's own, an address, a listening port.
func TestWhoseNetwork(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--cap-add", "NET_ADMIN")
		e.Run(t, engine.Busybox)
		pid, n := strconv.Itoa(c.PID), time.Now().UnixNano()%1e6
		here, there := fmt.Sprintf("dxh%d", n), fmt.Sprintf("dxc%d", n)
		output(t, "ip", "link", "add", here, "type", "veth", "peer", "name", there)
		t.Cleanup(func() { exec.Command("ip", "link", "del", here).Run() }) // the container's end takes it along
		output(t, "ip", "link", "set", there, "netns", pid)
		addr := fmt.Sprintf("10.%d.%d.2", 100+n%100, n/100%250)
		output(t, "nsenter", "-t", pid, "-n", "ip", "addr", "add", addr+"/24", "dev", there)
		index, err := os.ReadFile("/sys/class/net/" + here + "/ifindex")
		if err != nil {
			t.Fatal(err)
		}
		isOf(t, e, c, here, "interface", fmt.Sprintf("%s in its net namespace is peer of %s (ifindex %s)", there, here, strings.TrimSpace(string(index))))
		isOf(t, e, c, "if:"+there, "interface", "is in its net namespace")
		isOf(t, e, c, addr, "ip", there+" in its net namespace has "+addr+"/24")

		port := strconv.Itoa(freePort(t)) // one that no other engine's container has, either
		e.MustDocker(t, "exec", "-d", c.Name, "nc", "-ll", "-p", port, "-e", "true")
		holder := findProcess(t, c.ID, "nc\x00-ll\x00-p\x00"+port+"\x00-e\x00true\x00")
		waitListening(t, c.PID, port)
		for _, arg := range []string{":" + port, "tcp:" + port, "port:" + port, port + "/tcp"} {
			isOf(t, e, c, arg, "port", fmt.Sprintf("process %s (nc) listens on ", holder))
		}
		isOf(t, e, c, socketOf(t, holder), "socket", fmt.Sprintf("its process %s (nc) has it open", holder))
	})
}

// socketOf is a socket of a process, as /proc has it.
func socketOf(t *testing.T, pid string) string {
	t.Helper()
	links, err := filepath.Glob("/proc/" + pid + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:[") {
			return to
		}
	}
	t.Fatalf("process %s has no socket", pid)
	return ""
}

// waitListening waits until the kernel says that somebody listens.
func waitListening(t *testing.T, pid int, port string) {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	hexPort := fmt.Sprintf("%04X", n)
	await.Until(t, "somebody listens on "+port, func() bool {
		for _, name := range []string{"tcp", "tcp6"} {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name)) // looked for again
			for _, line := range lines(string(b)) {
				if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], ":"+hexPort) && f[3] == "0A" {
					return true
				}
			}
		}
		return false
	})
}

// TestWhosePublishedPort: a bridge network with docker-proxy, on a bridge of the test's.
func TestWhosePublishedPort(t *testing.T) {
	engine.Require(t, engine.Root, engine.Dockerd)
	n := time.Now().UnixNano() % 1e6
	bridge := fmt.Sprintf("dxb%d", n)
	output(t, "ip", "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { output(t, "ip", "link", "del", bridge) })
	output(t, "ip", "addr", "add", fmt.Sprintf("10.%d.%d.1/24", 100+n%100, n/100%250), "dev", bridge)
	e := suite.Start(t, engine.Options{Args: []string{"--bridge", bridge, "--ip-forward=false", "--ip-masq=false"}})
	free, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	c := e.Run(t, engine.Busybox, "-p", fmt.Sprintf("127.0.0.1:%d:80", port))
	e.Run(t, engine.Busybox)
	ip := inspected(t, e, c.Name, "{{.NetworkSettings.IPAddress}}")
	isOf(t, e, c, ip, "ip", "has "+ip)
	isOf(t, e, c, fmt.Sprintf(":%d", port), "port", fmt.Sprintf("forwards 127.0.0.1:%d/tcp to %s:80", port, ip))
	proxy := findHostProcess(t, "docker-proxy", strconv.Itoa(port))
	isOf(t, e, c, proxy, "pid", fmt.Sprintf("docker-proxy, which forwards 127.0.0.1:%d/tcp to %s:80", port, ip))
	for _, tid := range threads(t, proxy) {
		if tid != proxy {
			isOf(t, e, c, tid, "pid", "a thread of process "+proxy)
			break
		}
	}
	// The host's end of eth0, as the container's own sysfs numbers it.
	link := strings.TrimSpace(e.MustDocker(t, "exec", c.Name, "cat", "/sys/class/net/eth0/iflink").Stdout)
	for _, name := range []string{vethOf(t, link), "if:" + vethOf(t, link)} {
		isOf(t, e, c, name, "interface", "eth0 in its net namespace is peer of ")
	}
	end := e.Dx(t, "inspect", "--format", "{{range .Network.Interfaces}}{{.HostEnd}}{{end}}", c.Name)
	if want := vethOf(t, link) + " on " + bridge; strings.TrimSpace(end.Stdout) != want {
		t.Errorf("the host's end of eth0: %v, want %s", end, want)
	}
	if got, r := dxWho(t, e, bridge); len(got) != 2 || !strings.HasSuffix(got[0].How, "on "+bridge) {
		t.Errorf("who is on the bridge: %+v", r)
	}
	r := e.Dx(t, "--source", "host", "who", "--format", "{{.ID}} {{.How}}", fmt.Sprintf("tcp:%d", port))
	if r.Code != 0 || !strings.HasPrefix(r.Stdout, c.ID[:12]+" docker-proxy") {
		t.Errorf("without the engine: %+v", r)
	}
}

// findHostProcess is a process of that name which has that argument.
func findHostProcess(t *testing.T, name, arg string) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, _ := os.ReadFile(f) // it may have ended
		words := strings.Split(string(b), "\x00")
		if filepath.Base(words[0]) == name && slices.Contains(words, arg) {
			return filepath.Base(filepath.Dir(f))
		}
	}
	t.Fatalf("no %s has the argument %s", name, arg)
	return ""
}

// threads are those of a process, by the kernel's list.
func threads(t *testing.T, pid string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/" + pid + "/task/*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

func vethOf(t *testing.T, index string) string {
	t.Helper()
	files, err := filepath.Glob("/sys/class/net/*/ifindex")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, _ := os.ReadFile(f); strings.TrimSpace(string(b)) == index {
			return filepath.Base(filepath.Dir(f))
		}
	}
	t.Fatalf("no interface has index %s", index)
	return ""
}

// TestWhoOfSeveral: one that is nobody's is said, and hides no other.
func TestWhoOfSeveral(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	unknown := map[string]string{
		"nosuch0": "no interface is called nosuch0", "4194304": "there is no process 4194304", "1": "process 1 ",
		":1": "nothing listens on port 1 ", "192.0.2.77": "no container's interface has the address", "pid:x": "not a process number",
		"/nosuch/file": "no such file", "cgroup:/nosuch": "no container's cgroup", "net:[1]": "no container has a process in a namespace 1",
	}
	args := []string{strconv.Itoa(c.PID)}
	for arg := range unknown {
		args = append(args, arg)
	}
	got, r := dxWho(t, e, append(args, "pid:"+strconv.Itoa(c.PID))...)
	if r.Code != 1 || len(got) != 2 || got[0].ID != c.ID || got[1].ID != c.ID {
		t.Errorf("who with what is unknown among what is known: %v, want exit code 1 and twice %s", r, c.ID)
	}
	for arg, text := range unknown {
		if !strings.Contains(r.Stderr, text) {
			t.Errorf("%s: no %q in %s", arg, text, r.Stderr)
		}
	}
	if r := e.Dx(t, "who", "-q", "--no-trunc", strconv.Itoa(c.PID)); r.Stdout != c.ID+"\n" {
		t.Errorf("-q: %+v", r)
	}
	if r := e.Dx(t, "who"); r.Code == 0 || r.Stderr == "" {
		t.Errorf("no argument: %+v", r)
	}
}
