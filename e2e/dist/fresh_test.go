package dist

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"dx/e2e/world"
)

// freshEnv names the package to a run of this binary in a world of its own.
const freshEnv = "DX_DIST_FRESH"

func TestMain(m *testing.M) {
	if os.Getenv(freshEnv) != "" {
		os.Exit(world.Enter(m.Run))
	}
	os.Exit(m.Run())
}

// freshRoot is a Debian 12 as debootstrap makes it, with Docker, what a shell completes
// with, and man. It is kept.
func freshRoot(t *testing.T) string {
	t.Helper()
	need(t, "debootstrap")
	cache := os.Getenv("DX_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/dx-e2e"
	}
	root := filepath.Join(cache, "fresh-bookworm-root")
	if _, err := os.Stat(root); err == nil {
		return root
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, cache, "rm", "-rf", root+".new")
	run(t, cache, "debootstrap", "--variant=minbase", "--include=docker.io,bash-completion,man-db,sudo,busybox-static", "bookworm", root+".new")
	if err := os.Rename(root+".new", root); err != nil {
		t.Fatal(err)
	}
	return root
}

// testFresh installs the package on a Debian that has never seen dx, and uses it there as
// somebody would who has just read how.
func testFresh(t *testing.T, deb string) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes a world of its own")
	}
	root := freshRoot(t)
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^TestInFreshDebian$", root)
	cmd.Env = append(os.Environ(), freshEnv+"="+deb)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestInFreshDebian")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// fresh is that Debian, with a running dockerd.
type fresh struct{ root string }

func TestInFreshDebian(t *testing.T) {
	deb := os.Getenv(freshEnv)
	if deb == "" {
		t.Skip("skipped: a part of TestDist, which runs it in a world of its own")
	}
	f := &fresh{root: mountFresh(t, os.Args[len(os.Args)-1])}
	f.copyIn(t, deb, "/tmp/dx.deb")
	f.mustRun(t, "root", "cd /tmp && apt-get install -y ./dx.deb </dev/null")
	f.mustRun(t, "root", "useradd --create-home --shell /bin/bash --groups docker,sudo ann; echo 'ann ALL=NOPASSWD: ALL' >/etc/sudoers.d/ann")
	f.startDocker(t)

	for command, want := range map[string]string{
		"docker dx ps": "freshweb",
		withLimits("sudo dx exec freshweb busybox id"): "uid=0(root)",
		"MANPAGER=cat MANWIDTH=80 man dx-exec":         "EXIT STATUS",
		"man -w dx":                                    "/usr/share/man/man1/dx.1.gz",
		"dx version":                                   "Kernel",
	} {
		if got := f.mustRun(t, "ann", command); !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
			t.Errorf("%s: %q is not in\n%s", command, want, got)
		}
	}
	// Users complete in a login shell, and nobody has set anything up.
	for user, tabs := range map[string][][2]string{
		"ann": {
			{"sudo dx exec fr\t", "sudo dx exec freshweb "}, {"dx exec fr\t", "dx exec freshweb "}, {"dx insp\t", "dx inspect "},
			{"docker dx exec fr\t", "docker dx exec freshweb "},
		},
		"root": {{"dx exec fr\t", "dx exec freshweb "}, {"dx exec \t", "dx exec freshweb "}},
	} {
		shell := f.login(t, user)
		for _, tab := range tabs {
			shell.typeIn(t, tab[0])
			shell.wait(t, tab[1])
			shell.typeIn(t, "\x15") // takes the line away
		}
		shell.typeIn(t, "exit\r")
	}
	f.mustRun(t, "root", "docker rm -f freshweb; apt-get purge -y docker-dx </dev/null")
	if got := f.mustRun(t, "root", "ls /usr/bin/dx /usr/libexec/docker/cli-plugins/docker-dx 2>&1 || :"); strings.Count(got, "No such file") != 2 {
		t.Errorf("left behind: %s", got)
	}
}

// withLimits is the command line as it is, or from a root whose limits are whole: sudo
// lowers one, and cannot raise it again on a machine that lacks the right to.
func withLimits(command string) string {
	if r, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_RESOURCE, 0, 0, 0); err == nil && r == 1 {
		return command
	}
	return command + " 2>&1 | grep -q 'CAP_SYS_RESOURCE is missing' && echo 'uid=0(root)'"
}

// mountFresh lays a file system over the root, so that it stays fresh, and mounts what a host has.
func mountFresh(t *testing.T, lower string) string {
	t.Helper()
	if !world.Inside() {
		t.Fatal("not in a world of its own")
	}
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	mount := func(source, at, kind string, flags uintptr, options string) {
		t.Helper()
		if err := unix.Mount(source, at, kind, flags, options); err != nil {
			t.Fatalf("mount %s on %s: %v", source, at, err)
		}
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) }) // else it goes with the world
	}
	mount("overlay", root, "overlay", 0, "lowerdir="+lower+",upperdir="+dir+"/upper,workdir="+dir+"/work")
	mount("proc", root+"/proc", "proc", 0, "")
	for _, name := range []string{"/sys", "/dev"} {
		mount(name, root+name, "", unix.MS_BIND|unix.MS_REC, "")
	}
	for _, name := range []string{"/run", "/tmp", "/var/lib/docker"} {
		if err := os.MkdirAll(root+name, 0o755); err != nil {
			t.Fatal(err)
		}
		mount("tmpfs", root+name, "tmpfs", 0, "mode=755")
	}
	return root
}

func (f *fresh) copyIn(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(f.root+to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// command is one of the fresh Debian's, started as root with nothing of this process's.
func (f *fresh) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=xterm", "DEBIAN_FRONTEND=noninteractive"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: f.root}
	return cmd
}

// mustRun is what a user's login shell prints.
func (f *fresh) mustRun(t *testing.T, user, line string) string {
	t.Helper()
	out, err := f.command("/bin/su", "-", user, "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", user, line, err, out)
	}
	return string(out)
}

func (f *fresh) startDocker(t *testing.T) {
	t.Helper()
	cmd := f.command("/usr/sbin/dockerd", "--iptables=false", "--bridge=none", "--storage-driver=vfs")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	for end := time.Now().Add(2 * time.Minute); f.command("/usr/bin/docker", "version").Run() != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("dockerd does not answer:\n%s", log.String())
		}
	}
	f.mustRun(t, "root", `mkdir -p /tmp/r/bin && cp /bin/busybox /tmp/r/bin/ && tar -C /tmp/r -c . | docker import -c 'CMD ["/bin/busybox","sleep","100000"]' - fresh &&
		docker run -d --name freshweb --network none fresh`)
}

// terminal is a user's login shell.
type terminal struct {
	file *os.File
	mu   sync.Mutex
	out  bytes.Buffer
}

func (f *fresh) login(t *testing.T, user string) *terminal {
	t.Helper()
	cmd := f.command("/bin/su", "-", user)
	file, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 40, Cols: 200}, &syscall.SysProcAttr{Chroot: f.root, Setsid: true, Setctty: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &terminal{file: file}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := file.Read(b)
			s.mu.Lock()
			s.out.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { file.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.typeIn(t, "echo rea''dy\r")
	s.wait(t, "ready")
	return s
}

func (s *terminal) typeIn(t *testing.T, text string) {
	t.Helper()
	if _, err := s.file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// wait waits for a text, and forgets what was before.
func (s *terminal) wait(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		all := s.out.String()
		if at := strings.Index(all, text); at >= 0 {
			s.out.Next(at + len(text))
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if time.Now().After(end) {
			t.Fatalf("the terminal does not show %q:\n%q", text, all)
		}
	}
}
