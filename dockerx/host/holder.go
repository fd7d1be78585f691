package host

import (
	"os"
	"strconv"

	"dx/nsops/proc"
)

// maxLinks bounds how many descriptors of one process are looked at.
const maxLinks = 1 << 16

// Holders finds the processes that have a socket open, by its inode, as far as dx sees
// them. They are the caller's to close.
func Holders(inode uint64) []*proc.Process {
	pids, err := proc.PIDs()
	if err != nil {
		return nil
	}
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	var out []*proc.Process
	for _, pid := range pids {
		if !holds(pid, want) {
			continue
		}
		if p, err := proc.Open(pid); err == nil {
			out = append(out, p)
		}
	}
	return out
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
