package membership

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"dx/nsops/proc"
)

func TestMembersAreDescendants(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var grandchild int
	if _, err := fmt.Fscan(out, &grandchild); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(grandchild, syscall.SIGKILL)
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	pids, whole, err := PIDs(Container{Init: self})
	if err != nil || !whole {
		t.Fatalf("whole: %v, %v", whole, err)
	}
	for _, pid := range []int{os.Getpid(), cmd.Process.Pid, grandchild} {
		if !slices.Contains(pids, pid) {
			t.Errorf("%v lacks %d", pids, pid)
		}
	}
}
