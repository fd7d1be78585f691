package host

import (
	"os"
	"strconv"

	"dx/nsops/proc"
)

// maxLinks bounds how many descriptors of one process are looked at.
const maxLinks = 1 << 16

// Holder finds a process that has a socket open, by the socket's inode; nil if dx sees
// none. dockerd is looked for first: the name decides about no more than that.
func Holder(inode uint64) *proc.Process {
	pids, err := proc.PIDs()
	if err != nil {
		return nil
	}
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	for _, named := range []bool{true, false} {
		for _, pid := range pids {
			st, err := proc.StatOf(pid)
			if err != nil || (st.Comm == "dockerd") != named || !holds(pid, want) {
				continue
			}
			if p, err := proc.Open(pid); err == nil {
				return p
			}
		}
	}
	return nil
}

func holds(pid int, link string) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxLinks) // what could be read is looked at
	for _, name := range names {
		if to, err := os.Readlink(dir + "/" + name); err == nil && to == link {
			return true
		}
	}
	return false
}
