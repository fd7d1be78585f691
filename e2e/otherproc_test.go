package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestProcOfAnotherNamespace: dx takes no process for the one that has its number elsewhere.
func TestProcOfAnotherNamespace(t *testing.T) {
	for _, args := range [][]string{
		{"ps"}, {"ns"}, {"ns", "pid:1"}, {"exec", "web", "true"}, {"exec", "pid:1", "true"}, {"who", "1"}, {"map"}, {"doctor"},
		{"top", "web"}, {"inspect", "web"}, {"diff", "web", "db"}, {"shell", "web"}, {"debug", "web"}, {"unshare", "--pid", "true"},
	} {
		unshare := slices.Concat([]string{"--pid", "--fork", suite.Dx(t)}, args)
		out, err := exec.Command("unshare", unshare...).CombinedOutput()
		if text := string(out); err == nil || !strings.HasPrefix(text, "dx: ") || !strings.Contains(text, "/proc is that of another PID namespace, where dx is process ") {
			t.Errorf("dx %q: %v, %s", args, err, text)
		}
	}
}
