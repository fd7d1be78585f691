package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

var someID = strings.Repeat("1f", 32)

// TestParseConmon: arguments as Podman 4.3.1 and CRI-O 1.37 give them, shortened.
func TestParseConmon(t *testing.T) {
	podman := "/usr/bin/conmon --api-version 1 -c ID -u ID -r /usr/bin/crun -b /s/overlay-containers/ID/userdata -p /r/pidfile -n web --exit-dir /run/libpod/exits " +
		"--full-attach -l -n --runtime-arg --log-format=json --exit-command /usr/bin/podman --exit-command-arg -c --exit-command-arg other"
	crio := "conmon -b /run/crio-storage/overlay-containers/ID/userdata -c ID -n k8s_web_nginx-x2z9k_prod_0b7c_0 -r /usr/sbin/runc --runtime-arg --root=/run/runc-crio -u ID"
	for line, want := range map[string]conmonArgs{
		podman: {id: "ID", bundle: "/s/overlay-containers/ID/userdata", name: "web", pidfile: "/r/pidfile", runtime: "/usr/bin/crun", podman: true},
		crio:   {id: "ID", bundle: "/run/crio-storage/overlay-containers/ID/userdata", name: "k8s_web_nginx-x2z9k_prod_0b7c_0", runtime: "/usr/sbin/runc", runtimeRoot: "/run/runc-crio"},
		strings.Replace(podman, "-u ID", "-u other", 1): {id: "ID", bundle: "/s/overlay-containers/ID/userdata", name: "web", pidfile: "/r/pidfile", runtime: "/usr/bin/crun", podman: true, exec: true},
		"conmon --cid=ID -c":                            {id: "ID"},
		"":                                              {},
	} {
		if got := parseConmon(strings.Fields(line)); got != want {
			t.Errorf("%s:\n%+v, want\n%+v", line, got, want)
		}
	}
	manager, name, pod := parseConmon(strings.Fields(crio)).whose()
	if want := (Pod{Namespace: "prod", Name: "nginx-x2z9k", Container: "web"}); manager != "cri-o" || pod != want || !strings.HasPrefix(name, "k8s_") {
		t.Errorf("CRI-O's is %s %s %+v", manager, name, pod)
	}
	if manager, _, pod := parseConmon([]string{"conmon", "-n", "k8s_POD_p_ns_u_0"}).whose(); manager != "cri-o" || !pod.Sandbox {
		t.Errorf("a sandbox of CRI-O's is %s %+v", manager, pod)
	}
}

// TestIdentify: annotations as containerd 2.1 and CRI-O 1.37 write them; a pod whose names
// Kubernetes could not have given is none.
func TestIdentify(t *testing.T) {
	cri := map[string]string{
		"io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.container-type": "container",
		"io.kubernetes.cri.sandbox-name": "nginx-x2z9k", "io.kubernetes.cri.sandbox-namespace": "prod",
	}
	want := Pod{Namespace: "prod", Name: "nginx-x2z9k", Container: "web"}
	if _, _, pod := identify(cri); pod != want {
		t.Errorf("%+v, want %+v", pod, want)
	}
	cri["io.kubernetes.cri.sandbox-namespace"] = "../\x1b[2J"
	if _, _, pod := identify(cri); pod != (Pod{}) {
		t.Errorf("a hostile namespace makes %+v", pod)
	}
	crio := map[string]string{
		"io.container.manager": "cri-o", "io.kubernetes.container.name": "web", "io.kubernetes.pod.name": "nginx-x2z9k",
		"io.kubernetes.pod.namespace": "prod", "io.kubernetes.cri-o.Name": "k8s_web", "io.kubernetes.cri-o.ContainerType": "container",
	}
	if manager, name, pod := identify(crio); manager != "cri-o" || name != "k8s_web" || pod != want {
		t.Errorf("CRI-O's: %s %s %+v", manager, name, pod)
	}
	_, _, pod := identify(map[string]string{"io.container.manager": "cri-o", "io.kubernetes.cri-o.Name": "k8s_web_nginx-x2z9k_prod_0b7c_0"})
	if pod != want {
		t.Errorf("CRI-O's, of crictl: %+v", pod)
	}
	if _, name, _ := identify(map[string]string{"nerdctl/name": "nweb"}); name != "nweb" {
		t.Errorf("nerdctl's is %q", name)
	}
}

func TestParseManagers(t *testing.T) {
	m, err := parseMachine([]byte("# This is private data. Do not parse.\nNAME=nsp1\nSCOPE=machine-nsp1.scope\nSERVICE=systemd-nspawn\nLEADER=1300\nCLASS=container\n"))
	if diff := cmp.Diff(machine{"nsp1", "machine-nsp1.scope", "systemd-nspawn", "container", 1300}, m, cmp.AllowUnexported(machine{})); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := parseMachine([]byte("NAME=x\n")); err == nil {
		t.Error("a machine without a leader is taken")
	}
	if dir, name, ok := parseLXC("[lxc monitor] /var/lib/lxc lx1"); dir != "/var/lib/lxc" || name != "lx1" || !ok {
		t.Errorf("LXC's title is %s %s %v", dir, name, ok)
	}
	for _, title := range []string{"[lxc monitor] /var/lib/lxc", "[lxc monitor] /a b/c", "lxc-start", "[lxc monitor] lib lx1"} {
		if _, _, ok := parseLXC(title); ok {
			t.Errorf("%q is taken", title)
		}
	}
	list, err := parseStore([]byte(`[{"id":"` + someID + `","names":["web","alias"],"metadata":"{\"image-name\":\"localhost/bb:latest\",\"name\":\"web\"}"}]`))
	if diff := cmp.Diff(map[string]storedName{someID: {name: "web", image: "localhost/bb:latest", podman: true}}, list, cmp.AllowUnexported(storedName{})); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// FuzzManagers: any bytes in a store, a title, an argument, an annotation.
func FuzzManagers(f *testing.F) {
	f.Add([]byte("NAME=nsp1\nLEADER=1\n"))
	f.Add([]byte(`[{"id":"x","names":["a"],"metadata":"{}"}]`))
	f.Add([]byte("[lxc monitor] /var/lib/lxc lx1"))
	f.Add([]byte("conmon -c a -n k8s_a_b_c_d_e"))
	f.Add([]byte(`{"binary_name":"/usr/bin/runsc"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseMachine(data); err == nil && m.leader <= 0 {
			t.Errorf("leader %d", m.leader)
		}
		if _, name, ok := parseLXC(string(data)); ok && !validID("", name) {
			t.Errorf("LXC's container %q", name)
		}
		list, _ := parseStore(data)
		for id := range list {
			if len(id) != 64 {
				t.Errorf("ID %q", id)
			}
		}
		parseConmon(strings.Split(string(data), " ")).whose()
		_, _, pod := identify(map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-name": string(data), "io.kubernetes.cri.sandbox-namespace": "a", "io.kubernetes.cri.container-name": "b"})
		if pod != (Pod{}) && !isDNS(pod.Name) {
			t.Errorf("pod %q", pod.Name)
		}
		parseBinaryName(data)
	})
}

func TestSandboxNames(t *testing.T) {
	for program, want := range map[string]string{
		"containerd-shim-runsc-v1": "runsc", "containerd-shim-kata-v2": "kata", "kata-runtime": "kata", "runsc": "runsc", "krun": "krun",
		"containerd-shim-runc-v2": "", "runc": "", "crun": "", "containerd-shim": "",
	} {
		if got := sandboxOf(program); got != want {
			t.Errorf("%s is a sandbox of %q, want %q", program, got, want)
		}
	}
}

// TestForgedConmon: a program that is called conmon is asked for its arguments, and believed
// if it is root's. A plain user's, with the arguments of root's, is a doubt.
func TestForgedConmon(t *testing.T) {
	standin.NeedRoot(t)
	b, err := os.ReadFile(shimProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("%064x", os.Getpid()) // of no other test on this host
	dir := t.TempDir()
	program := filepath.Join(dir, "conmon")
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.WriteFile(program, b, 0o755), os.Chmod(program, 0o755)); err != nil {
		t.Fatal(err)
	}
	for who, uid := range map[string]string{"root": "0", "a plain user": "65534"} {
		cmd := exec.Command("setpriv", "--reuid", uid, "--clear-groups", program, "--", "-", "-c", id, "-u", id, "-b", "/var/lib/containers/storage/overlay-containers/"+id+"/userdata", "-n", "web", "-r", "/usr/bin/runc")
		cmd.Dir = "/"
		// The program is cat, which reads its input before it looks for files of these names.
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		awaitCommand(t, cmd.Process.Pid, id)
		l, err := List(func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		doubts := l.Doubts(id)
		for _, f := range l.Found {
			if f.ID == id {
				t.Errorf("%s: listed as pid %d, though no bundle and no state is there", who, f.PID)
			}
		}
		l.Close()
		if uid == "0" && len(doubts) != 0 || uid != "0" && (len(doubts) != 1 || !strings.Contains(doubts[0].Error(), "runs as uid 65534")) {
			t.Errorf("%s's: %v", who, doubts)
		}
		in.Close()
		cmd.Wait()
	}
}

// awaitCommand waits until the process shows arg: /proc/PID/exe is the new program's
// before its arguments are there.
func awaitCommand(t *testing.T, pid int, arg string) {
	t.Helper()
	await.Until(t, "conmon runs", func() bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && strings.Contains(string(line), "\x00-c\x00"+arg) && !strings.Contains(string(line), "setpriv")
	})
}

// TestForgedState: a runtime's state counts in a directory of root's, and where its process
// started when it says.
func TestForgedState(t *testing.T) {
	standin.NeedRoot(t)
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	root := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(root), 0o755), os.Chmod(root, 0o755)); err != nil {
		t.Fatal(err)
	}
	write := func(id, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, id), 0o755), os.WriteFile(filepath.Join(root, id, "state.json"), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	state := func(id string, start uint64) string {
		return `{"id":"` + id + `","init_process_pid":` + strconv.Itoa(self.PID) + `,"init_process_start":` + strconv.Itoa(int(start)) + `,"config":{"labels":["bundle=` + root + `"]}}`
	}
	write("good-one", state("good-one", self.StartTime))
	write("recycled", state("recycled", self.StartTime+1))
	write("other", state("good-one", self.StartTime))
	write("half", state("half", self.StartTime)[:40])
	write("-hostile", state("-hostile", self.StartTime))
	records := func() (out []*record) {
		for dir := range statesBelow([]string{root}) {
			if r, err := stateIn(dir, newStores()); err == nil {
				out = append(out, r)
			}
		}
		return out
	}
	list := records()
	if len(list) != 1 || list[0].id != "good-one" || !list[0].names(self) {
		t.Fatalf("%d records, want good-one alone", len(list))
	}
	list[0].close()
	if err := os.Chown(filepath.Join(root, "good-one", "state.json"), standin.Nobody, standin.Nobody); err != nil {
		t.Fatal(err)
	}
	if len(records()) != 0 {
		t.Error("a state that is a user's file is believed")
	}
	if err := os.Chown(root, standin.Nobody, standin.Nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, "good-one", "state.json"), 0, 0); err != nil {
		t.Fatal(err)
	}
	if len(records()) != 0 {
		t.Error("a state in a directory of a user's is believed")
	}
}

// TestStoreOfThousands: a storage is read once, whatever it holds; one that is half-written, or
// a user's, has no names, and its containers keep those of their conmon.
func TestStoreOfThousands(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, `,{"id":"%064x","names":["c%d"]}`, i, i)
	}
	file := filepath.Join(dir, "containers.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[" + text.String()[1:] + "]")
	open := func() handle {
		h, err := openWithoutLinks(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.close)
		return h
	}
	known := newStores()
	named := func(known stores) string {
		r := &record{id: fmt.Sprintf("%064x", 4999), name: "of conmon", engine: Engine{Manager: "podman"}}
		r.storedIn(open(), dir, known)
		return r.name
	}
	if got := named(known); got != "c4999" {
		t.Errorf("the last of 5000 is called %q", got)
	}
	write("[" + text.String()[1:len(text.String())/2])
	if got := named(known); got != "c4999" {
		t.Errorf("the storage is read again: %q", got)
	}
	if got := named(newStores()); got != "of conmon" {
		t.Errorf("of a half-written storage: %q", got)
	}
}
