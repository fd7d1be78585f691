package launch

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// sampleUnshare is a rootless container with everything.
func sampleUnshare() *Unshare {
	return &Unshare{
		Args: []string{"sh", "-l"}, Env: []string{"PATH=/bin", "TERM=xterm"},
		New: nsops.Types, Propagation: Private, Maps: MapOwn(0, 0, 1000, 100),
		Hostname: "box", Root: "/srv/root", Dev: true, Proc: true, Cwd: "/root",
		Init: true, KillChild: true, IgnoredSignals: []int{int(unix.SIGHUP)},
		Kernel: Kernel{LastCap: 40, Faccessat2: true, CloseRange: true},
	}
}

func unshareProgram(t *testing.T, u *Unshare) *Program {
	t.Helper()
	p, err := CompileUnshare(u)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUnshareExplainGolden(t *testing.T) {
	var out strings.Builder
	if err := unshareProgram(t, sampleUnshare()).Explain(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "unshare.txt", out.String())
}

// A plain one does what its flags say and no more.
func TestUnshareExplainsWhatIsAsked(t *testing.T) {
	p := unshareProgram(t, &Unshare{Args: []string{"/bin/true"}, New: []nsops.Type{nsops.PID}, Kernel: Kernel{CloseRange: true, Faccessat2: true}})
	got := calls(p, "mmap")
	want := []string{"mmap", "unshare", "clone", "exit_group", "close_range", "newfstatat", "newfstatat", "faccessat2", "execve"}
	if !slices.Equal(got, want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}

// Subordinate ids are somebody else's to write: P stops for it, and before any
// other namespace is made.
func TestUnshareStopsForSubordinateIDs(t *testing.T) {
	u := sampleUnshare()
	u.Maps.UIDs = append(u.Maps.UIDs, proc.IDRange{Inside: 1, Outside: 100000, Count: 65536})
	p := unshareProgram(t, u)
	if p.paused == nil || index(t, p, "kill") != index(t, p, "unshare")+2 {
		t.Errorf("no stop behind the user namespace: %v", calls(p, "unshare"))
	}
	if unshareProgram(t, sampleUnshare()).paused != nil {
		t.Error("own ids need nobody else")
	}
}

func TestUnshareRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Unshare)
		want   string
	}{
		"no command":            {func(u *Unshare) { u.Args = nil }, "no command"},
		"NUL":                   {func(u *Unshare) { u.Hostname = "a\x00" }, "NUL byte"},
		"root without mount":    {func(u *Unshare) { u.New = []nsops.Type{nsops.UTS, nsops.User, nsops.PID} }, "new mount namespace"},
		"relative root":         {func(u *Unshare) { u.Root = "root" }, "not an absolute path"},
		"shared root":           {func(u *Unshare) { u.Propagation = Shared }, "private or slave"},
		"unchanged root":        {func(u *Unshare) { u.Propagation = Unchanged }, "private or slave"},
		"host's own name":       {func(u *Unshare) { u.New = []nsops.Type{nsops.Mnt, nsops.User, nsops.PID} }, "new UTS namespace"},
		"maps of nothing":       {func(u *Unshare) { u.New = []nsops.Type{nsops.Mnt, nsops.UTS, nsops.PID} }, "new user namespace"},
		"init that is no PID 1": {func(u *Unshare) { u.New = []nsops.Type{nsops.Mnt, nsops.UTS, nsops.User} }, "new PID namespace"},
	} {
		u := sampleUnshare()
		test.change(u)
		if _, err := CompileUnshare(u); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	u := sampleUnshare()
	u.Propagation = Shared
	if _, err := CompileUnshare(u); !errors.Is(err, ErrSharedRoot) {
		t.Errorf("a shared root: %v", err)
	}
}

// Init ends with the exit code that a shell would have for the wait status.
func TestLoopEndsAsCommand(t *testing.T) {
	for status, want := range map[uint32]int{
		0: 0, 7 << 8: 7, 255 << 8: 255,
		uint32(unix.SIGTERM): 143, uint32(unix.SIGKILL): 137, uint32(unix.SIGQUIT) | 0x80: 131, 64: 192,
	} {
		c := &compiler{plan: &Plan{}}
		c.call("be the report, 3", "", "memfd_create", unix.SYS_MEMFD_CREATE, str("report"), num(0))
		c.call("", "", "pwrite64", unix.SYS_PWRITE64, num(3), raw(exitCodes(), ""), num(256), num(offInitCodes))
		c.call("", "", "pwrite64", unix.SYS_PWRITE64, num(3), raw(binary.NativeEndian.AppendUint32(nil, status), ""), num(4), num(offInitStatus))
		c.endAsCommand()
		if code, _ := runLoop(t, c.steps...); code != want {
			t.Errorf("wait status %#x: exit code %d, want %d", status, code, want)
		}
	}
}
