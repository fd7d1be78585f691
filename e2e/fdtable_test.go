package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"dx/e2e/engine"
)

// TestRoomForAList: dx has room for 1,024 descriptors before it needs it. The kernel begins with 64.
func TestRoomForAList(t *testing.T) {
	engine.Require(t, engine.Root)
	cmd := exec.Command(suite.Dx(t), "unshare", "--uts", "cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	size := 0
	eventually(t, "there is room for 1,024 descriptors", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		_, rest, _ := bytes.Cut(status, []byte("FDSize:\t"))
		_, errScan := fmt.Sscan(string(rest), &size)
		return err == nil && errScan == nil && size >= 1024
	})
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
