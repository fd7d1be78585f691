package fdtable

import (
	"os/exec"
	"strings"
	"testing"

	"dx/e2e/standin"
)

// TestPublished: what is published begins here. That there is room then, e2e tells.
func TestPublished(t *testing.T) {
	out, err := exec.Command("../packaging/ldflags").Output()
	standin.Must(t, err)
	if want := "-E _dx_start"; !strings.Contains(string(out), want) {
		t.Errorf("the linker's flags are %q, want %s", out, want)
	}
}
