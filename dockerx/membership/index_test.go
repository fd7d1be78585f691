package membership

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/proc"
)

// The containers of the table: web, db, which is in web's cgroup, and guest, which is in
// web's PID namespace. The host's shell is a reference to a process.
const (
	web = iota
	db
	guest
	shell
)

var (
	webID, dbID, guestID = strings.Repeat("a1", 32), strings.Repeat("b2", 32), strings.Repeat("c3", 32)
	strangerID           = strings.Repeat("d4", 32)

	hostMnt, hostPID = nsID(1), nsID(2)
)

// base is beyond all numbers of processes: what is asked of the kernel finds nothing.
const base = 1 << 29

func nsID(n uint64) nsops.ID { return nsops.ID{Device: 4, Inode: n} }

func process(pid int) *proc.Process { return &proc.Process{PID: base + pid, StartTime: 7} }

func testIndex() *Index {
	in := func(path string) map[string]string { return map[string]string{"": path, "cpu": path} }
	x := index([]Container{
		web: {webID, process(10)}, db: {dbID, process(20)}, guest: {guestID, process(30)}, shell: {"", process(40)},
	}, []nsops.Scope{
		web:   {Cgroups: in("/docker/" + webID), Mnt: nsID(11), PID: nsID(12)},
		db:    {Cgroups: in("/docker/" + webID + "/" + dbID), Mnt: nsID(21), PID: nsID(22)},
		guest: {Cgroups: in("/docker/" + guestID), Mnt: nsID(31)},
		shell: {},
	})
	x.own = map[string]bool{}
	return x
}

// seen is a process of the table, by whose places it is told.
func seen(pid, parent int, cgroup string, mnt nsops.ID, pids ...nsops.ID) facts {
	return facts{
		who: identity{base + pid, 7}, parent: base + parent, mnt: mnt, pids: pids,
		cgroups: []proc.Cgroup{{Controllers: []string{"cpu"}, Path: cgroup}, {Path: "/"}},
	}
}

// TestPrecedence is the list of the package's comment, rule by rule.
func TestPrecedence(t *testing.T) {
	at := func(id string) string { return "/docker/" + id }
	inDB := at(webID) + "/" + dbID
	for name, c := range map[string]struct {
		process facts
		in      int
		by      By
	}{
		"an init":                               {seen(10, 9, at(webID), nsID(11), nsID(12)), web, ByInit},
		"an init that has gone everywhere else": {seen(10, 9, at(dbID), nsID(31), hostPID), web, ByInit},
		"its number, taken by another":          {facts{who: identity{base + 10, 8}, mnt: hostMnt}, -1, ""},
		"docker exec":                           {seen(50, 9, at(webID), nsID(11), nsID(12)), web, ByCgroup},
		"in a part of the cgroup that is called after another":      {seen(50, 9, at(webID)+"/"+strangerID, nsID(11), nsID(12)), web, ByCgroup},
		"in a container's cgroup within another's":                  {seen(50, 9, inDB, nsID(21), nsID(22), nsID(12)), db, ByCgroup},
		"--pid container:web":                                       {seen(50, 9, at(guestID), nsID(31), nsID(12)), guest, ByCgroup},
		"a program of the host in the cgroup":                       {seen(50, 9, at(webID), hostMnt, hostPID), web, ByCgroup},
		"nsenter -m -p":                                             {seen(50, 1, "/", nsID(11), nsID(12), hostPID), web, ByMount},
		"nsenter -m -p into the guest":                              {seen(50, 1, "/", nsID(31), nsID(12), hostPID), guest, ByMount},
		"nsenter -p":                                                {seen(50, 1, "/", hostMnt, nsID(12), hostPID), web, ByPID},
		"below its PID namespace":                                   {seen(50, 1, "/", nsID(99), nsID(98), nsID(12), hostPID), web, ByPID},
		"from one container into another":                           {seen(50, 9, at(guestID), nsID(11), nsID(12)), guest, ByCgroup},
		"in a cgroup that a user has called after it":               {seen(50, 1, "/user/"+webID, hostMnt, hostPID), -1, ""},
		"the same, by nsenter":                                      {seen(50, 1, "/user/"+webID, nsID(11), nsID(12)), web, ByMount},
		"of a container that is not listed, in web's PID namespace": {seen(50, 9, at(strangerID), nsID(99), nsID(12)), -1, ""},
		"a child that has left everything":                          {seen(51, 10, "/", hostMnt, hostPID), web, ByDescent},
		"a child of the shell":                                      {seen(51, 40, "/", hostMnt, hostPID), shell, ByDescent},
		"the shell":                                                 {seen(40, 1, "/", hostMnt, hostPID), shell, ByInit},
		"of the host":                                               {seen(50, 1, "/", hostMnt, hostPID), -1, ""},
	} {
		above := map[int]facts{
			base + 10: seen(10, 9, at(webID), nsID(11), nsID(12)),
			base + 40: seen(40, 1, "/", hostMnt, hostPID),
			base + 9:  seen(9, 1, "/", hostMnt, hostPID),
			base + 1:  seen(1, -base, "/", hostMnt, hostPID),
		}
		a := testIndex().of(c.process, func(pid int) (facts, bool) { f, ok := above[pid]; return f, ok })
		want := []int{c.in}
		if c.in < 0 {
			want = nil
		}
		if diff := cmp.Diff(want, a.In); diff != "" || a.By != c.by {
			t.Errorf("%s: %+v, want %d by %q", name, a, c.in, c.by)
		}
	}
}

// TestOther names the container that is not listed.
func TestOther(t *testing.T) {
	none := func(int) (facts, bool) { return facts{}, false }
	x := testIndex()
	if a := x.of(seen(50, 9, "/docker/"+strangerID, nsID(99), nsID(12)), none); a.Other != strangerID {
		t.Errorf("in the cgroup of one that is not listed: %+v", a)
	}
	x = testIndex()
	x.own[strangerID] = true // dx's own container is no stranger: who enters another from it is that one's
	if a := x.of(seen(51, 9, "/docker/"+strangerID, nsID(99), nsID(12)), none); a.By != ByPID || a.Other != "" {
		t.Errorf("from dx's own container into web: %+v, want web's by its PID namespace", a)
	}
}

// TestOthersMounts: who is in web's PID namespace and in the mount namespace of one that is
// not listed is that one's, whichever is met first.
func TestOthersMounts(t *testing.T) {
	none := func(int) (facts, bool) { return facts{}, false }
	x := testIndex()
	early := x.of(seen(50, 1, "/", nsID(99), nsID(12)), none)
	x.of(seen(51, 9, "/docker/"+strangerID, nsID(99), nsID(12)), none)
	x.home = map[nsops.ID]bool{hostMnt: true}
	x.of(seen(52, 9, "/docker/"+strangerID, hostMnt, hostPID), none)
	late := x.of(seen(53, 1, "/", nsID(99), nsID(12)), none)
	if early.By != ByPID || x.Settle(early).Other != strangerID || late.Other != strangerID {
		t.Errorf("met before: %+v, settled %+v, after: %+v, want the other's", early, x.Settle(early), late)
	}
	if a := x.of(seen(54, 1, "/", hostMnt, nsID(12)), none); x.Settle(a).By != ByPID {
		t.Errorf("in web's PID namespace alone: %+v, though one of the other container is in the host's mounts", a)
	}
}

// TestAttribute: a census has the same answers, and parents that form a circle, as recycled
// numbers may make one, end.
func TestAttribute(t *testing.T) {
	c := &census.Census{}
	add := func(pid, ppid int, cgroup string, mnt, pidns nsops.ID) {
		p := census.Process{PID: base + pid, PPID: base + ppid, StartTime: 7, Cgroups: fmt.Sprintf("2:cpu:%s\n0::/\n", cgroup)}
		p.Places[2], p.Places[4] = mnt, pidns
		c.Processes = append(c.Processes, p)
	}
	add(1, -base, "/", hostMnt, hostPID)
	add(9, 1, "/", hostMnt, hostPID)                           // the shim
	add(10, 9, "/docker/"+webID, nsID(11), nsID(12))           // web's init
	add(12, 11, "/", nsID(99), nsID(98))                       // below one that ended meanwhile
	add(13, 10, "/", nsID(99), nsID(98))                       // a child that left everything
	add(14, 13, "/", nsID(99), nsID(98))                       // and its child
	add(15, 9, "/docker/"+webID, nsID(99), nsID(98))           // by docker exec, in a sandbox
	add(16, 1, "/", nsID(11), nsID(12))                        // by nsenter
	add(20, 13, "/docker/"+webID+"/"+dbID, nsID(21), nsID(22)) // db's init
	add(21, 20, "/", hostMnt, hostPID)                         // which came back
	add(62, 63, "/", nsID(99), nsID(98))                       // a circle
	add(63, 62, "/", nsID(99), nsID(98))                       //
	add(40, 1, "/", hostMnt, hostPID)                          // the shell
	add(41, 40, "/", hostMnt, hostPID)                         // and its child
	want := []int{-1, -1, web, -1, web, web, web, web, db, db, -1, -1, shell, shell}
	if diff := cmp.Diff(want, testIndex().Attribute(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
