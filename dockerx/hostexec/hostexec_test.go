package hostexec

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/dockerx/exposure"
	"dx/e2e/standin"
	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/session"
	"dx/nsops/tools"
)

// made is a container of one process in new namespaces of those types (CLONE_NEW…).
func made(t *testing.T, namespaces uintptr) *dockerx.Container {
	t.Helper()
	p := standin.Cat(t, namespaces)
	return &dockerx.Container{Ref: "made", Name: "made", Source: dockerx.SourcePID, Process: p}
}

// output runs a compiled program and returns what it printed.
func output(t *testing.T, prog *launch.Program, root *os.File) string {
	t.Helper()
	out, err := os.Create(t.TempDir() + "/out")
	standin.Must(t, err)
	defer out.Close()
	null, err := os.Open(os.DevNull)
	standin.Must(t, err)
	defer null.Close()
	s := session.Session{Program: prog, Root: root, In: null, Out: out, Err: out, UID: os.Geteuid(), GID: os.Getegid()}
	s.Deputy, s.Of = &launch.Deputy{}, "made"
	defer s.Deputy.Close()
	code, err := s.Run(t.Context())
	standin.Must(t, err)
	b, err := os.ReadFile(out.Name())
	standin.Must(t, err)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, b)
	}
	return string(bytes.TrimSpace(b))
}

func link(t *testing.T, c *dockerx.Container, ns string) string {
	t.Helper()
	text, err := c.Process.Readlink("ns/" + ns)
	standin.Must(t, err)
	return text
}

// TestVisit: the program's own links show that it is in the namespaces that were named,
// and in no other.
func TestVisit(t *testing.T) {
	standin.NeedRoot(t)
	c := made(t, unix.CLONE_NEWNET|unix.CLONE_NEWUTS|unix.CLONE_NEWIPC)
	v, err := NewVisit(c, Options{
		Args: []string{"sh", "-c", `echo $(readlink /proc/self/ns/uts) $(readlink /proc/self/ns/ipc) $A`},
		Env:  []string{"A=given"}, Cwd: "/", Namespaces: []nsops.Type{nsops.UTS, nsops.Net},
	})
	standin.Must(t, err)
	defer v.Close()
	prog, err := launch.CompileVisit(v.Visit)
	standin.Must(t, err)
	own, err := os.Readlink("/proc/self/ns/ipc")
	standin.Must(t, err)
	if got, want := output(t, prog, v.Root), link(t, c, "uts")+" "+own+" given"; got != want {
		t.Errorf("the program printed %q, want %q", got, want)
	}
	if v.UID != os.Geteuid() || v.GID != os.Getegid() {
		t.Errorf("the program is %d:%d, want dx's own user", v.UID, v.GID)
	}
}

// TestVisitExposed: what is refused is so before anything is started.
func TestVisitExposed(t *testing.T) {
	standin.NeedRoot(t)
	c := made(t, unix.CLONE_NEWNS)
	o := Options{Args: []string{"true"}, Namespaces: []nsops.Type{nsops.Mnt}}
	var exposed *exposure.Error
	if _, err := NewVisit(c, o); !errors.As(err, &exposed) {
		t.Errorf("with mnt: %v, want a refusal", err)
	}
	o.ExposeHost = true
	v, err := NewVisit(c, o)
	standin.Must(t, err)
	defer v.Close()
	if v.Root != v.target.Root || v.Process.Cwd != "/" {
		t.Errorf("with mnt the root is %v and the directory %q, want the container's", v.Root, v.Process.Cwd)
	}
}

func TestVisitOfTheEnded(t *testing.T) {
	c := made(t, 0)
	standin.End(t, c.Process)
	if _, err := NewVisit(c, Options{Args: []string{"true"}, Namespaces: []nsops.Type{nsops.Net}}); err == nil || !strings.Contains(err.Error(), "cannot open made (pid ") {
		t.Errorf("%v, want that it cannot be opened", err)
	}
}

// TestHostTools: the command has the host's files, the container's at /container, and the
// namespaces that docker's own debuggers would share.
func TestHostTools(t *testing.T) {
	standin.NeedRoot(t)
	c := made(t, unix.CLONE_NEWNS|unix.CLONE_NEWPID|unix.CLONE_NEWNET|unix.CLONE_NEWUTS|unix.CLONE_NEWIPC)
	spec, err := Spec(c, Options{Args: []string{"sh", "-c", "readlink /proc/self/ns/net; test -e /container/bin && pwd"}, ExposeHost: true})
	standin.Must(t, err)
	if want := []nsops.Type{nsops.IPC, nsops.UTS, nsops.Net}; !slices.Equal(spec.Namespaces, want) {
		t.Errorf("namespaces %v, want %v", spec.Namespaces, want)
	}
	if !slices.Contains(spec.Process.Env, `PS1=dx host-tools made:\w \$ `) {
		t.Errorf("environment %q, want a prompt that says where one is", spec.Process.Env)
	}
	plan, err := NewPlan(c, spec)
	standin.Must(t, err)
	defer plan.Close()
	prog, err := launch.Compile(plan.Plan.Plan)
	standin.Must(t, err)
	if got, want := output(t, prog, plan.Root), link(t, c, "net")+"\n/"; got != want {
		t.Errorf("the command printed %q, want %q", got, want)
	}
}

// TestHostToolsRefused: who has power over the command must not see it; a relative
// directory would be anybody's.
func TestHostToolsRefused(t *testing.T) {
	standin.NeedRoot(t)
	c := made(t, unix.CLONE_NEWNS|unix.CLONE_NEWPID)
	var exposed *exposure.Error
	if _, err := Spec(c, Options{SharePID: true}); !errors.As(err, &exposed) {
		t.Errorf("seen by a process of all rights: %v, want a refusal", err)
	}
	if _, err := Spec(c, Options{Cwd: "srv"}); !errors.Is(err, execspec.ErrRelativeCwd) {
		t.Errorf("in a relative directory: %v", err)
	}
	spec, err := Spec(c, Options{SharePID: true, ExposeHost: true})
	standin.Must(t, err)
	if !slices.Contains(spec.Namespaces, nsops.PID) {
		t.Errorf("namespaces %v, want the container's PIDs among them", spec.Namespaces)
	}
}

func TestHostShell(t *testing.T) {
	for set, want := range map[string]string{"/bin/sh": "/bin/sh", "/nosuch": "/bin/bash", "": "/bin/bash", "/etc/passwd": "/bin/bash"} {
		t.Setenv("SHELL", set)
		if _, err := exec.LookPath("/bin/bash"); err != nil {
			want = "/bin/sh"
		}
		if got := hostShell(); got != want {
			t.Errorf("with SHELL=%q it is %s, want %s", set, got, want)
		}
	}
}

// TestToolkitOfADirectory: its shell is named by the descriptor that the command gets.
func TestToolkitOfADirectory(t *testing.T) {
	standin.NeedRoot(t)
	dir := t.TempDir()
	standin.Must(t, os.MkdirAll(dir+"/bin", 0o755))
	static, err := os.ReadFile(busybox(t))
	standin.Must(t, err)
	standin.Must(t, os.WriteFile(dir+"/bin/ash", static, 0o755))
	kit, err := OpenToolkit(t.Context(), made(t, 0), dir)
	if errors.Is(err, tools.ErrOldKernel) {
		t.Skip(err)
	}
	standin.Must(t, err)
	defer kit.Close()
	if args, err := kit.Shell(); err != nil || !slices.Equal(args, []string{launch.ToolsRoot + "/bin/ash"}) {
		t.Errorf("its shell is %q, %v", args, err)
	}
	if kit.Launch().File == nil {
		t.Error("there is no tree to give to a plan")
	}
	standin.Must(t, os.Rename(dir+"/bin/ash", dir+"/bin/other"))
	kit2, err := OpenToolkit(t.Context(), made(t, 0), dir)
	standin.Must(t, err)
	defer kit2.Close()
	if _, err := kit2.Shell(); !errors.Is(err, ErrNoShell) {
		t.Errorf("tools without a shell: %v", err)
	}
}

// busybox is a static program of the host's.
func busybox(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/bin", "/usr/bin"} {
		if file := filepath.Join(dir, "busybox"); exec.Command(file, "true").Run() == nil {
			return file
		}
	}
	t.Skip("this host has no busybox")
	return ""
}

// TestNoSuchTools: a path is one; any other name may be an image of the engine's.
func TestNoSuchTools(t *testing.T) {
	c := made(t, 0)
	for _, name := range []string{"/nosuch", "./nosuch", "nosuch:latest"} {
		if kit, err := OpenToolkit(t.Context(), c, name); err == nil {
			kit.Close()
			t.Errorf("%s: there are tools", name)
		}
	}
}

// TestHasProc: /proc is looked for beneath the root that the command gets.
func TestHasProc(t *testing.T) {
	standin.NeedRoot(t)
	without := t.TempDir()
	standin.Must(t, os.MkdirAll(without+"/bin", 0o755))
	static, err := os.ReadFile(busybox(t))
	standin.Must(t, err)
	standin.Must(t, os.WriteFile(without+"/bin/cat", static, 0o755))
	bare := made(t, 0)
	bare.Process = standin.Start(t, exec.Command("chroot", without, "/bin/cat"))
	for c, want := range map[*dockerx.Container]bool{made(t, 0): true, bare: false} {
		if got, err := HasProc(c); err != nil || got != want {
			t.Errorf("%s has a /proc: %v, %v, want %v", c, got, err, want)
		}
		c.Close()
	}
}
