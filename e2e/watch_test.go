package e2e

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// secret is in the environment of the dx under watch and must stay there.
const secret = "DX_E2E_SECRET_4711"

// observation is a line of dx/e2e/watcher.
type observation struct {
	PID         int
	FDs         map[string]string
	Status      map[string]string
	Exe         string
	Foreign     []string
	Environ     []string
	Cmdline     []string
	ExeWritable bool
	Found       []string
}

// watch runs the watcher in the container until it has seen enough of what do starts,
// and returns what it saw.
func watch(t *testing.T, e *engine.Engine, c engine.Container, enough func([]observation) bool, do func()) []observation {
	t.Helper()
	// The strings: the environment of dx, where its cgroups and its engine are.
	return spy(t, e, c, "dx/e2e/watcher", []string{secret, "/sys/fs/cgroup", e.Dir}, enough, do)
}

// ownStdio is what descriptors 0 to 2 may be: pipes made for this process,
// /dev/null, or a terminal of the container. The mode is missing where the
// descriptor was closed between two looks.
var ownStdio = regexp.MustCompile(`^(pipe:\[\d+\]|/dev/null|/dev/pts/\d+)( r| w| rw|)$`)

// errorPipe may be the one other descriptor, until execve closes it: the write
// end of the pipe on which a failing execve is reported to dx.
var errorPipe = regexp.MustCompile(`^pipe:\[\d+\]( w|)$`)

// leaks lists what an observation shows that a process of the container could
// not have by itself. rights are those of the container.
func (o observation) leaks(rights map[string]string) []string {
	var out []string
	others := 0
	for fd, what := range o.FDs {
		n, _ := strconv.Atoi(fd)
		switch {
		case n <= 2 && ownStdio.MatchString(what):
		case n > 2 && errorPipe.MatchString(what) && others == 0:
			others++
		default:
			out = append(out, "descriptor "+fd+" is "+what)
		}
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if extra := capBits(o.Status[set]) &^ capBits(rights[set]); extra != 0 {
			out = append(out, fmt.Sprintf("%s has %x more than the container", set, extra))
		}
	}
	for _, key := range []string{"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp"} {
		if o.Status[key] != rights[key] {
			out = append(out, fmt.Sprintf("%s is %q, not %q", key, o.Status[key], rights[key]))
		}
	}
	if o.ExeWritable && strings.HasPrefix(o.Exe, "/memfd:") {
		out = append(out, "the launcher can be written to")
	}
	if !regexp.MustCompile(`^(|/bin/\w+|/memfd:\S* \(deleted\))$`).MatchString(o.Exe) {
		out = append(out, "executable "+o.Exe)
	}
	for _, env := range o.Environ {
		if !strings.HasPrefix(env, "PATH=/usr/local/sbin:") && !strings.HasPrefix(env, "HOSTNAME=") && !strings.HasPrefix(env, "HOME=/") {
			out = append(out, "environment "+env)
		}
	}
	return slices.Concat(out, prefixed("not the container's: ", o.Foreign), prefixed("found: ", o.Found))
}

func prefixed(prefix string, list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, prefix+s)
	}
	return out
}

func capBits(s string) uint64 {
	n, _ := strconv.ParseUint(s, 16, 64)
	return n
}

// rightsIn is what a process that docker exec starts may do, by its own status.
func rightsIn(t *testing.T, e *engine.Engine, c engine.Container, flags ...string) map[string]string {
	t.Helper()
	r := withDocker(t, e, c, flags, []string{"cat", "/proc/self/status"})
	rights := map[string]string{}
	for _, line := range strings.Split(r.Stdout, "\n") {
		key, value, _ := strings.Cut(line, ":")
		rights[key] = strings.TrimSpace(value)
	}
	// Until execve drops them a process of another user has root's capabilities,
	// with docker too (see reference: the execve rules).
	root := e.Docker(t, "exec", "-u", "0", c.Name, "grep", "Cap", "/proc/self/status")
	for _, line := range strings.Split(root.Stdout, "\n") {
		key, value, _ := strings.Cut(line, ":")
		rights[key] = strings.TrimSpace(value)
	}
	return rights
}

// report returns what leaked, how often, and how many processes were seen.
func report(seen []observation, rights map[string]string) (map[string]int, int) {
	leaks, pids := map[string]int{}, map[int]bool{}
	for _, o := range seen {
		pids[o.PID] = true
		for _, l := range o.leaks(rights) {
			leaks[inode.ReplaceAllString(l, "$1:[N]")]++
		}
	}
	return leaks, len(pids)
}

func TestNothingOfTheHostIsSeenInTheContainer(t *testing.T) {
	t.Setenv("DX_E2E_ENV", secret)
	onOneThenOther(t, func(t *testing.T, e *engine.Engine) {
		for _, flags := range [][]string{{}, {"-u", "app"}, {"-t"}, {"-i"}} {
			t.Run(strings.Join(flags, " "), func(t *testing.T) {
				c := e.Run(t, engine.Busybox, "--cap-add", "SYS_PTRACE")
				rights := rightsIn(t, e, c, flags...)
				enough := func(seen []observation) bool {
					_, pids := report(seen, rights)
					return pids >= 25 && early(seen) >= 5
				}
				seen := watch(t, e, c, enough, func() {
					if r := withDx(t, e, c, flags, []string{"true"}); r.Code != 0 {
						t.Fatalf("dx exec: %+v", r)
					}
				})
				leaks, pids := report(seen, rights)
				t.Logf("%d processes seen, %d times before execve", pids, early(seen))
				for _, l := range slices.Sorted(maps.Keys(leaks)) {
					if !isTerm(l, flags) {
						t.Errorf("%d times: %s", leaks[l], l)
					}
				}
			})
		}
	})
}

// early counts the looks at a process that still was dx's launcher.
func early(seen []observation) int {
	n := 0
	for _, o := range seen {
		if strings.HasPrefix(o.Exe, "/memfd:") {
			n++
		}
	}
	return n
}

// isTerm: with -t the environment has docker's TERM=xterm.
func isTerm(leak string, flags []string) bool {
	return leak == "environment TERM=xterm" && slices.Contains(flags, "-t")
}

// TestTheWatcherCanSee: a leak as long as the process lives, and one that lasts
// from fork to execve.
func TestTheWatcherCanSee(t *testing.T) {
	t.Setenv("DX_E2E_ENV", secret)
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, "--cap-add", "SYS_PTRACE")
	rights := rightsIn(t, e, c)
	pid := strconv.Itoa(c.PID)

	sees := func(wanted ...string) func([]observation) bool {
		return func(seen []observation) bool {
			leaks, _ := report(seen, rights)
			all := strings.Join(slices.Collect(maps.Keys(leaks)), "\n")
			return !slices.ContainsFunc(wanted, func(want string) bool { return !strings.Contains(all, want) })
		}
	}
	watch(t, e, c, sees("descriptor 9 is ", "CapEff has ", "environment DX_E2E_ENV="+secret, "found: "+secret), func() {
		e.Do(t, engine.Command{Args: []string{"sh", "-c", "exec 9</etc/passwd; exec nsenter -a -t " + pid + " sleep 0.05"}})
	})
	leaker := suite.Build(t, "dx/e2e/leaker")
	watch(t, e, c, sees("/etc/passwd r"), func() {
		e.Do(t, engine.Command{Args: []string{leaker, pid, "/bin/true"}})
	})
}

// TestSelfExeAttack: a file that names /proc/self/exe as its interpreter makes
// execve run whatever started it, inside the container (CVE-2019-5736).
func TestSelfExeAttack(t *testing.T) {
	t.Setenv("DX_E2E_ENV", secret)
	onOneThenOther(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		dx := e.DxPath(t)
		before := fileState(t, dx)
		e.MustDocker(t, "exec", c.Name, "sh", "-c", "printf '#!/proc/self/exe\n' >/bin/evil; chmod +x /bin/evil; ln -s /proc/self/exe /bin/itself")
		for _, command := range []string{"/bin/evil", "/bin/itself", "/proc/self/exe"} {
			r := e.Dx(t, "exec", c.Name, command, "exec", "host", "cat", "/etc/passwd")
			if r.Code == 0 {
				t.Errorf("%s succeeds", command)
			}
			for _, host := range []string{secret, e.Dir, dx, "/sys/fs/cgroup", "root:"} {
				if strings.Contains(r.Stdout+r.Stderr, host) {
					t.Errorf("%s shows %s: %+v", command, host, r)
				}
			}
		}
		if after := fileState(t, dx); after != before {
			t.Errorf("dx itself changed: %s, then %s", before, after)
		}
	})
}

func fileState(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(st.Size(), st.Mode(), st.ModTime(), checksum(b))
}
