package dockerx

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/dockerx/engine"
	"dx/nsops/proc"
)

const nobody = 65534

// listener runs a copy of cat as a user, called name, which has files open.
func listener(t *testing.T, name string, uid int, files ...*os.File) *proc.Process {
	t.Helper()
	cat, err := exec.LookPath("cat")
	must(t, err)
	b, err := os.ReadFile(cat)
	must(t, err)
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		must(t, os.Chmod(d, 0o755))
	}
	must(t, os.WriteFile(filepath.Join(dir, name), b, 0o755))
	must(t, os.Chmod(filepath.Join(dir, name), 0o755)) // whatever the umask
	cmd := exec.Command(filepath.Join(dir, name))
	cmd.ExtraFiles = files
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	_, err = in.Write([]byte("x"))
	must(t, err)
	_, err = io.ReadFull(out, make([]byte, 1)) // it is the program by now
	must(t, err)
	p, err := proc.Open(cmd.Process.Pid)
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func mustDoubt(t *testing.T, what string, p engine.Peer, want string) {
	t.Helper()
	got, _ := doubtPeer(p)
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestPeerIsDoubted: an engine counts if its socket, the socket's file and the process
// that listens there are root's or dx's own, and on this host. One thing is another's at
// a time.
func TestPeerIsDoubted(t *testing.T) {
	uid := os.Geteuid()
	own := listener(t, "dockerd", uid)
	peer := func(change func(*engine.Peer)) engine.Peer {
		p := engine.Peer{UIDs: []uint32{0, uint32(uid)}, Path: "/run/docker.sock", File: &unix.Stat_t{Uid: uint32(uid)}, Process: own}
		change(&p)
		return p
	}
	mustDoubt(t, "dx's own", peer(func(*engine.Peer) {}), "")
	mustDoubt(t, "elsewhere", peer(func(p *engine.Peer) { p.Elsewhere = true }), "not of this host alone")
	mustDoubt(t, "a socket that is shared", peer(func(p *engine.Peer) { p.UIDs = []uint32{uint32(uid), nobody} }), "its socket is one of uid 65534")
	mustDoubt(t, "an unseen listener", peer(func(p *engine.Peer) { p.Process = nil }), unseen)
	mustDoubt(t, "an unknown file", peer(func(p *engine.Peer) { p.File = nil }), "")
	mustDoubt(t, "a user's file", peer(func(p *engine.Peer) { p.File = &unix.Stat_t{Uid: nobody} }), "/run/docker.sock belongs to uid 65534")
	proxy := listener(t, "docker-proxy", uid)
	mustDoubt(t, "docker-proxy", peer(func(p *engine.Peer) { p.Process = proxy }), "a container answers")
	if uid != 0 {
		return
	}
	users := listener(t, "dockerd", nobody)
	mustDoubt(t, "a user's listener", peer(func(p *engine.Peer) { p.Process = users }), fmt.Sprintf("pid %d, which listens there, does not count: it runs as uid 65534", users.PID))
}

// TestHoldersAreDoubted: everybody who has a TCP socket open has to count.
func TestHoldersAreDoubted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	must(t, err)
	defer f.Close()
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	uid := os.Geteuid()
	peer := engine.Peer{UIDs: []uint32{uint32(uid)}, Inodes: []uint64{st.Ino}}
	mustDoubt(t, "this test", peer, "")
	if uid != 0 {
		return
	}
	users := listener(t, "cat", nobody, f)
	mustDoubt(t, "one that a user has as well", peer, fmt.Sprintf("pid %d, which listens there, does not count: it runs as uid 65534", users.PID))
	mustDoubt(t, "one that nobody has", engine.Peer{UIDs: []uint32{0}, Inodes: []uint64{1 << 60}}, unseen)
}

// TestRemote: only a unix socket and a loopback address can lead to this host.
func TestRemote(t *testing.T) {
	for address, want := range map[string]string{
		"unix:///var/run/docker.sock": "", "tcp://127.0.0.1:2375": "", "tcp://localhost:2375": "", "tcp://[::1]:2375": "", "http://127.1.2.3:1": "",
		"ssh://user@localhost":  "it is reached by ssh",
		"ssh://127.0.0.1":       "it is reached by ssh",
		"tcp://10.0.0.1:2375":   "10.0.0.1 is not this host's loopback address",
		"tcp://0.0.0.0:2375":    "0.0.0.0 is not this host's loopback address",
		"tcp://example.org:1":   "example.org is not this host's loopback address",
		"tcp://localhost.org:1": "localhost.org is not this host's loopback address",
		"tcp://[fe80::1]:1":     "fe80::1 is not this host's loopback address",
		"tcp://%zz":             `parse "tcp://%zz": invalid URL escape "%zz"`,
	} {
		if got := remote(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
