package disposition

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const childEnv = "DX_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	CatchIgnored()
	cmd := exec.Command("grep", "SigIgn", "/proc/self/status")
	cmd.Stdout = os.Stdout
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}

// TestCatchIgnored: what env has made ignored, and 32 to 34, which env cannot, a
// child of the process does not ignore.
func TestCatchIgnored(t *testing.T) {
	for n := 32; n <= 34; n++ {
		set(n, action{handler: sigIgn})
		defer set(n, action{})
	}
	args := []string{"--ignore-signal", "sh", "-c", `grep SigIgn /proc/self/status; exec "$0"`, os.Args[0]}
	cmd := exec.Command("env", args...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run itself with all signals ignored: %v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 || !ignores(lines[0], unix.SIGHUP) || !ignores(lines[0], 32) {
		t.Fatalf("signals ignored before are %q, want SIGHUP and 32 among them", lines)
	}
	if lines[1] != "SigIgn:\t0000000000000000" {
		t.Errorf("a child ignores %q, want no signal", lines[1])
	}
}

// ignores reports whether a SigIgn line of proc_pid_status(5) has the signal.
func ignores(line string, sig unix.Signal) bool {
	mask, err := strconv.ParseUint(strings.TrimPrefix(line, "SigIgn:\t"), 16, 64)
	return err == nil && mask&(1<<(sig-1)) != 0
}
