package membership

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/dockerx"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/proc"
)

// placed are places that differ from all others by n.
func placed(n uint64) (p census.Places) {
	for i := range p {
		p[i] = nsops.ID{Device: 4, Inode: 100}
	}
	p[2].Inode = n
	return p
}

func TestAttribute(t *testing.T) {
	const base = 1 << 29 // no process has such a number: asking for its cgroup finds nothing
	host, web, db, own := placed(1), placed(2), placed(3), placed(4)
	c := &census.Census{}
	add := func(pid, ppid int, p census.Places) {
		c.Processes = append(c.Processes, census.Process{PID: base + pid, PPID: base + ppid, StartTime: 7, Places: p})
	}
	add(1, -base, host)
	add(10, 1, host)  // the shim
	add(11, 10, web)  // web's init
	add(12, 11, own)  // below web's init, in a sandbox
	add(13, 12, own)  // and its child
	add(14, 10, web)  // started by docker exec
	add(15, 14, own)  // and its child
	add(16, 10, own)  // only a cgroup could tell
	add(17, 1, web)   // by nsenter
	add(20, 12, db)   // db's init, a container in web
	add(21, 20, host) // which came back
	add(30, 31, own)  // a circle, as recycled numbers may make one
	add(31, 30, own)
	list := []*dockerx.Container{
		{ID: "web", Process: &proc.Process{PID: base + 11, StartTime: 7}},
		{ID: "db", Process: &proc.Process{PID: base + 20, StartTime: 7}},
		{ID: "gone", Process: &proc.Process{PID: base + 10, StartTime: 6}}, // the number is another's now
	}
	want := []int{-1, -1, 0, 0, 0, 0, 0, -1, 0, 1, 1, -1, -1}
	if diff := cmp.Diff(want, Attribute(list, c, host)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

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
	c := &dockerx.Container{Process: self}
	defer c.Close()
	pids, whole, err := PIDs(c)
	if err != nil || !whole {
		t.Fatalf("whole: %v, %v", whole, err)
	}
	for _, pid := range []int{os.Getpid(), cmd.Process.Pid, grandchild} {
		if !slices.Contains(pids, pid) {
			t.Errorf("%v lacks %d", pids, pid)
		}
	}
}
