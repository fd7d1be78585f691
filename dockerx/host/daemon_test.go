package host

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/standin"
	"dx/nsops"
	"dx/nsops/proc"
)

// daemonAt runs a program that is called dockerd, with files open, and returns it with its
// program's file.
func daemonAt(t *testing.T, args []string, open ...*os.File) (*proc.Process, string) {
	t.Helper()
	file := filepath.Join(filepath.Dir(shimProgram(t)), "dockerd")
	standin.Must(t, os.Rename(filepath.Join(filepath.Dir(file), "containerd-shim-runc-v2"), file))
	cmd := exec.Command(file, args...)
	cmd.ExtraFiles = open
	return standin.Start(t, cmd), file
}

// makeDataRoot makes a directory as dockerd's, and opens the database in it.
func makeDataRoot(t *testing.T) (root string, database *os.File) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	standin.Must(t, err)
	for _, dir := range []string{"/containers", "/volumes"} {
		standin.Must(t, os.Mkdir(root+dir, 0o755))
	}
	database, err = os.Create(root + "/volumes/metadata.db")
	standin.Must(t, err)
	t.Cleanup(func() { database.Close() })
	return root, database
}

// TestDaemons: a dockerd is known by what it has open, else by its command line; its word
// counts by the rules for any process, and its directory has to be root's.
func TestDaemons(t *testing.T) {
	root, database := makeDataRoot(t)
	other, _ := makeDataRoot(t)
	var at unix.Stat_t
	standin.Must(t, unix.Stat(root+"/containers", &at))
	open, file := daemonAt(t, nil, database)
	told, _ := daemonAt(t, []string{"--", "-", "--data-root=" + other})
	byPID := func() map[int]Daemon {
		out := map[int]Daemon{}
		for _, d := range Daemons() {
			out[d.PID] = d
		}
		return out
	}
	found := byPID()
	if d := found[open.PID]; d.Root != root || d.At != nsops.IDOf(&at) || !d.Is(open) || d.Is(told) {
		t.Errorf("%+v, want pid %d with %s", d, open.PID, root)
	}
	if d := found[told.PID]; d.Root != other {
		t.Errorf("by its command line %+v, want %s", d, other)
	}
	if got := OpenDataRoot(open.PID); got != root {
		t.Errorf("it has %q open, want %s", got, root)
	}
	if d, ok := DaemonOf(standin.Cat(t, 0)); ok {
		t.Errorf("a program of another name is %+v", d)
	}
	standin.Must(t, os.Chmod(root+"/containers", 0o777))
	if d, ok := byPID()[open.PID]; ok {
		t.Errorf("with containers that all can write: %+v", d)
	}
	standin.Must(t, os.Chmod(root+"/containers", 0o755))
	if os.Geteuid() == 0 {
		standin.Must(t, os.Chown(file, standin.Nobody, standin.Nobody))
		if d, ok := byPID()[open.PID]; ok {
			t.Errorf("a program of another user's: %+v", d)
		}
	}
}

// TestDaemonNamesItsRoot: where the command line names what is open, not all that is open is
// looked at, and the answer is the same.
func TestDaemonNamesItsRoot(t *testing.T) {
	root, database := makeDataRoot(t)
	other, _ := makeDataRoot(t)
	for args, named := range map[string]bool{"--data-root=" + root: true, "--data-root=" + other: false, "": false} {
		p, _ := daemonAt(t, []string{"--", "-", args}, database)
		if d, ok := DaemonOf(p); !ok || d.Root != root {
			t.Errorf("%q: %+v (%v), want %s", args, d, ok, root)
		}
		if _, ok := opens(p, namedRoot(p)); ok != named {
			t.Errorf("%q: that its command line names what it has open is not %v", args, named)
		}
	}
}

// TestFlagOf: flags as dockerd takes them (spf13/pflag): the last one counts.
func TestFlagOf(t *testing.T) {
	for line, want := range map[string]string{
		"dockerd":                              "",
		"dockerd\x00--data-root=/a\x00":        "/a",
		"dockerd\x00--data-root\x00/b\x00":     "/b",
		"dockerd\x00-g\x00/c\x00":              "/c",
		"dockerd\x00--graph=/d\x00-g=/e\x00":   "/e",
		"dockerd\x00data-root=/f\x00":          "",
		"dockerd\x00--data-roots=/g\x00":       "",
		"dockerd\x00--data-root":               "",
		"dockerd\x00--data-root=\x00-H\x00x:y": "",
	} {
		if got := flagOf([]byte(line), "data-root", "graph", "g"); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func pidsOf(list []*proc.Process) []int {
	var out []int
	for _, p := range list {
		out = append(out, p.PID)
		p.Close()
	}
	slices.Sort(out)
	return out
}

func pidsOfAll(dockerds []Daemon, others []*proc.Process) []int {
	out := pidsOf(others)
	for _, d := range dockerds {
		out = append(out, d.PID)
	}
	slices.Sort(out)
	return out
}

// TestListenersOn: everybody who has the socket, or the dockerds alone; not who has another
// one, be it at the same path.
func TestListenersOn(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	standin.Must(t, err)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	standin.Must(t, err)
	l.SetUnlinkOnClose(false)
	socket, err := l.File()
	standin.Must(t, err)
	l.Close()
	daemon, _ := daemonAt(t, nil, socket)
	other := exec.Command("cat")
	other.ExtraFiles = []*os.File{socket}
	holder := standin.Start(t, other)
	var st unix.Stat_t
	standin.Must(t, unix.Fstat(int(socket.Fd()), &st))
	inode := st.Ino
	socket.Close()
	standin.Must(t, unix.Stat(dir+"/s", &st))
	both := []int{daemon.PID, holder.PID}
	slices.Sort(both)
	daemons := []Daemon{{PID: holder.PID + 1<<28}, {PID: daemon.PID, start: daemon.StartTime}}
	for what, test := range map[string]struct{ got, want []int }{
		"by the file":           {pidsOfAll(ListenersOn(dir+"/s", st.Ino, nil)), both},
		"by the name alone":     {pidsOfAll(ListenersOn(dir+"/./s", 0, nil)), both},
		"the dockerds of them":  {pidsOfAll(ListenersOn(dir+"/s", st.Ino, daemons)), []int{daemon.PID}},
		"another file there":    {pidsOfAll(ListenersOn(dir+"/s", st.Ino+1, daemons)), nil},
		"another name":          {pidsOfAll(ListenersOn(dir+"/t", st.Ino, daemons)), nil},
		"who has it open":       {pidsOf(Holders(inode)), both},
		"nobody has that other": {pidsOf(Holders(1 << 40)), nil},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: %v, want %v", what, test.got, test.want)
		}
	}
	for _, pair := range []struct {
		a, b string
		same bool
	}{{"/run/docker.sock", "/var/run/docker.sock", true}, {"/run/a", "/run/b", false}, {"/run/x/../a", "/run/a", true}} {
		if sameSocket(pair.a, pair.b) != pair.same {
			t.Errorf("%s and %s: the same is not %v", pair.a, pair.b, pair.same)
		}
	}
}
