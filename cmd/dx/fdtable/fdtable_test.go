package fdtable

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dx/e2e/await"
	"dx/e2e/standin"
)

func TestLists(t *testing.T) {
	for line, want := range map[string]bool{
		"":                            false,
		"ps":                          true,
		"--api-timeout 20s ns web":    true,
		"-H unix:///x map":            true,
		"container ls":                true,
		"exec web ps":                 false,
		"--source host exec -it a ps": false,
		"help ps":                     false,
		"__complete exec w":           false,
	} {
		if got := lists(strings.Fields(line)); got != want {
			t.Errorf("dx %s lists containers: %v, want %v", line, got, want)
		}
	}
}

// TestTableIsLarge runs the test's own program as one that lists: init alone makes the room.
func TestTableIsLarge(t *testing.T) {
	const size = "FDSize:\t"
	if os.Getenv("DX_TEST_FDTABLE") != "" {
		await.Until(t, "there is room", func() bool {
			status, err := os.ReadFile("/proc/self/status")
			standin.Must(t, err)
			_, rest, _ := bytes.Cut(status, []byte(size))
			var n int
			fmt.Sscan(string(rest), &n)
			return n >= enough
		})
		return
	}
	self, err := os.Executable()
	standin.Must(t, err)
	cmd := exec.Command(self, "-test.run", "^TestTableIsLarge$", "ps")
	cmd.Env = append(os.Environ(), "DX_TEST_FDTABLE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("a program that is called with ps has no more room: %v:\n%s", err, out)
	}
}
