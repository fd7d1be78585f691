package proc

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
)

func TestChildren(t *testing.T) {
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if has, err := self.Has(fmt.Sprintf("task/%d/children", self.PID)); err != nil || !has {
		t.Skip("this kernel lists no children")
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pids, err := self.Children()
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("%v lacks %d, %v", pids, cmd.Process.Pid, err)
	}
}
