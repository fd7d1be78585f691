package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
)

// trap is a directory of a plain user's, with programs that tell when they run, and a
// file that only root may read.
type trap struct{ dir, secret string }

func setTrap(t *testing.T) trap {
	t.Helper()
	dir, err := os.MkdirTemp("", "dxt-") // not TempDir: the user must be able to pass
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tr := trap{dir: dir, secret: filepath.Join(dir, "secret")}
	if err := os.WriteFile(tr.secret, []byte("the host's secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"id", "ls", "cat", "sh", "bash", "env"} {
		script := "#!/bin/sh\necho HIJACKED\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// bait starts a process with the trap in its environment and returns its PID. It is
// the plain user's; the words of maker come before that, those of inside behind it.
func (tr trap) bait(t *testing.T, maker, inside []string) int {
	t.Helper()
	args := slices.Concat(maker, nobody, inside, []string{"sh", "-c", `echo ready; exec "$0" 1000`, tr.dir + "/sleep"})
	for i, word := range args { // not those of the trap
		if slices.Contains([]string{"setpriv", "unshare", "sh"}, word) {
			args[i] = lookPath(t, word)
		}
	}
	cmd := exec.Command(args[0], args[1:]...)
	// The loader complains of a library that is not there: one sees that it was asked.
	cmd.Env = []string{"PATH=" + tr.dir + ":/usr/bin:/bin:/usr/sbin:/sbin", "LD_PRELOAD=" + tr.dir + "/HIJACKED.so", "BASH_ENV=" + tr.dir + "/sh", "ENV=" + tr.dir + "/sh"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q does not start: %q", args, line)
	}
	eventually(t, "the process sleeps", func() bool {
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/comm")
		return strings.TrimSpace(string(b)) == "sleep"
	})
	return cmd.Process.Pid
}

func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func copyProgram(t *testing.T, program, to string, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(lookPath(t, program))
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err == nil {
		err = os.Chmod(to, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAttackByAProcess: root enters a process of a plain user's (pid:N), who has
// prepared its environment, its files and its rights.
func TestAttackByAProcess(t *testing.T) {
	engine.Require(t, engine.Root, engine.Dockerd, engine.Lsns, engine.Capsh)
	overlaid := []string{"unshare", "-U", "-r", "-m", "sh", "-c", `for p in cat id; do mount --bind "$0/$p" "$(readlink -f "$(command -v /usr/bin/$p)")"; done; exec "$@"`}
	for name, attack := range map[string]struct {
		maker, inside []string // who made the namespaces: root, or the user
		mode          os.FileMode
		refused       bool
		hisFiles      bool // what runs is his anyway: it only must not have more rights
		rootsOwn      bool // it is a process of root's
	}{
		"in the host's namespaces":                {refused: true},
		"in a user namespace":                     {inside: []string{"unshare", "-U", "-r"}, refused: true},
		"in a user and a mount namespace":         {inside: []string{"unshare", "-U", "-r", "-m"}},
		"in those, with programs of his":          {inside: overlaid, hisFiles: true},
		"in a mount namespace of root's":          {maker: []string{"unshare", "-m"}},
		"set-uid, in a mount namespace of root's": {maker: []string{"unshare", "-m"}, mode: os.ModeSetuid, rootsOwn: true},
	} {
		t.Run(name, func(t *testing.T) {
			tr := setTrap(t)
			copyProgram(t, "sleep", tr.dir+"/sleep", 0o755|attack.mode)
			if slices.Equal(attack.inside, overlaid) {
				attack.inside = append(slices.Clone(overlaid), tr.dir)
			}
			ref := "pid:" + strconv.Itoa(tr.bait(t, attack.maker, attack.inside))
			for _, words := range [][]string{
				{"exec", ref, "cat", tr.secret}, {"exec", "-u", "0", ref, "cat", tr.secret}, {"exec", "-u", "0:0", "-t", ref, "id"}, {"shell", ref, "-c", "cat " + tr.secret},
				{"debug", ref, "cat", tr.secret}, {"exec", "--privileged", ref, "cat", tr.secret},
			} {
				r := hostRun(t, append([]string{suite.Dx(t)}, words...)...)
				if strings.Contains(r.Stdout+r.Stderr, "HIJACKED") && !attack.hisFiles {
					t.Errorf("dx %q runs the user's program: %+v", words, r)
				}
				asked := words[1] == "-u" && attack.maker != nil // who asks for root gets it, without capabilities
				if strings.Contains(r.Stdout, "the host's secret") && !attack.rootsOwn && !asked {
					t.Errorf("dx %q has root's rights: %+v", words, r)
				}
				if attack.refused && (r.Code != 125 || !strings.Contains(r.Stderr, "mount namespace")) {
					t.Errorf("dx %q is not refused with the reason: %+v", words, r)
				}
			}
			if !attack.refused {
				tr.hasNoMore(t, ref)
			}
		})
	}
}

// hasNoMore compares the rights of a command with those of the process, as the
// kernel shows them to the host.
func (tr trap) hasNoMore(t *testing.T, ref string) {
	t.Helper()
	process := strings.TrimPrefix(ref, "pid:")
	for _, flags := range [][]string{nil, {"-u", "0"}} {
		mark := fmt.Sprintf("sleep 1%d%d", os.Getpid(), len(flags))
		dx := exec.Command(suite.Dx(t), slices.Concat([]string{"exec"}, flags, []string{ref}, strings.Fields(mark))...)
		if err := dx.Start(); err != nil {
			t.Fatal(err)
		}
		command := ""
		eventually(t, "the command runs", func() bool {
			command = strings.TrimSpace(hostRun(t, "pgrep", "-f", "^"+mark+"$").Stdout)
			return command != ""
		})
		got, want := rightsOf(t, command), rightsOf(t, process)
		environment := hostRun(t, "sh", "-c", "tr '\\0' '\\n' </proc/"+command+"/environ").Stdout
		_ = dx.Process.Signal(syscall.SIGTERM)
		_ = dx.Wait()
		if got.caps&^want.permitted != 0 || got.userns != want.userns {
			t.Errorf("%q: the command has %+v, the process %+v", flags, got, want)
		}
		if flags == nil && got.uid != want.uid {
			t.Errorf("the command is of uids %s, the process of %s", got.uid, want.uid)
		}
		if strings.Contains(environment, tr.dir) {
			t.Errorf("%q: the environment is %s", flags, environment)
		}
	}
}

// rights are what a process may do, as the host counts.
type rights struct {
	uid, userns     string
	permitted, caps uint64 // all the sets together
}

func rightsOf(t *testing.T, pid string) (r rights) {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		mask, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		switch key {
		case "Uid":
			r.uid = strings.Fields(value)[1]
		case "CapPrm":
			r.permitted = mask
			r.caps |= mask
		case "CapEff", "CapBnd", "CapInh", "CapAmb":
			r.caps |= mask
		}
	}
	r.userns, err = os.Readlink("/proc/" + pid + "/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	return r
}
