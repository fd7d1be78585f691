package e2e

import (
	"os/exec"
	"regexp"
	"testing"

	"dx/e2e/engine"
)

// crunVaries is what crun's exec has and dx does not: without a terminal the session of its
// caller (in stat), a table of descriptors that once had more, the host's null device and its
// pipes given to the user's group, and the session keyring of the user.
var crunVaries = regexp.MustCompile(`^(stat line 1|status line \d+\n +docker: FDSize:|owner line |self line \d+\n +docker: session keyring)`)

// TestExecUnderCrun: the same comparison where Docker's runtime is crun.
func TestExecUnderCrun(t *testing.T) {
	crun, err := exec.LookPath("crun")
	if err != nil {
		t.Skip("no crun here: e2e/install-deps installs it")
	}
	// crun takes either version of cgroups and not both, and on v2 rights that not every
	// machine gives: it raises its limit of locked memory.
	// It also gives the null device that it was started with to the command's user: this
	// engine has one of its own.
	under := []string{"/usr/bin/unshare", "--mount", "--propagation", "private", "sh", "-ec", `
		umount /sys/fs/cgroup/unified 2>/dev/null || true
		mount -t tmpfs tmpfs /mnt; mknod -m 666 /mnt/null c 1 3; mount --bind /mnt/null /dev/null
		exec "$@"`, "sh"}
	e := suite.Start(t, engine.Options{Under: under, Args: []string{"--add-runtime", "crun=" + crun}})
	for name, k := range map[string]kind{
		"plain": {execs: [][]string{{}, {"-t"}, {"-u", "app"}, {"-e", "A=1", "-e", "A=2", "-w", "/home"}}},
		"other": {
			run:   []string{"-u", "app", "--oom-score-adj", "300", "--ulimit", "nofile=500:600", "--cap-drop", "KILL", "--security-opt", "no-new-privileges"},
			execs: [][]string{{}, {"-u", "0"}},
		},
		"unconfined": {run: []string{"--security-opt", "seccomp=unconfined", "--group-add", "4711"}, execs: [][]string{{}, {"-u", "app"}}},
	} {
		t.Run(name, func(t *testing.T) {
			k.run = append(k.run, "--runtime", "crun")
			c := k.start(t, e)
			for _, flags := range k.execs {
				for _, d := range compare(t, e, c, withDx, flags) {
					if !crunVaries.MatchString(d) {
						t.Errorf("%q: %s", flags, d)
					}
				}
			}
			want, got := withDocker(t, e, c, []string{"-w", "/nosuch"}, []string{"true"}), withDx(t, e, c, []string{"-w", "/nosuch"}, []string{"true"})
			if essence(want) != essence(got) {
				t.Errorf("in no directory\ndocker: %v\ndx:     %v", want, got)
			}
			for _, args := range [][]string{{"nosuch"}, {"/tmp/nosuch/x"}, {"/etc/passwd/x"}, {"/nosuch"}, {"/etc/passwd"}, {"/etc"}} {
				want, got := withDocker(t, e, c, nil, args), withDx(t, e, c, nil, args)
				if essence(want) != essence(got) {
					t.Errorf("exec %q\ndocker: %v\ndx:     %v", args, want, got)
				}
			}
		})
	}
}
