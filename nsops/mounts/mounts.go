// Package mounts reads the mounts of a process, and finds where dx's own mount namespace
// has what is mounted there.
//
// A process with CAP_SYS_ADMIN mounts what it likes, so that what is read is bounded.
// Making mounts belongs to launch; passes over many processes for a few of their mounts
// (nsfs, cgroups) read as far as they need themselves: census, cgroup.
package mounts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// maxBytes bounds what is read of a mountinfo.
const maxBytes = 4 << 20

// Info is a mount (proc_pid_mountinfo(5)).
type Info = mountinfo.Info

// Read reads the mounts that a process can reach, in the kernel's order. truncated
// reports whether there are more than 4 MiB of mountinfo show. A process that has left its
// mount namespace, as each does that ends, is proc.ErrGone.
func Read(p *proc.Process) (list []*Info, truncated bool, err error) {
	b, cut, err := p.ReadPrefix("mountinfo", maxBytes)
	if errors.Is(err, unix.EINVAL) { // fs/proc_namespace.c, mounts_open_common
		err = fmt.Errorf("%w: %w", proc.ErrGone, err)
	}
	if err != nil {
		return nil, false, err
	}
	if list, err = Parse(b, cut); err != nil {
		return nil, false, fmt.Errorf("/proc/%d/mountinfo: %w", p.PID, err)
	}
	return list, cut, nil
}

// Own reads the mounts of dx's own mount namespace.
func Own() ([]*Info, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	list, err := Parse(b[:min(len(b), maxBytes)], len(b) > maxBytes)
	if err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w", err)
	}
	return list, nil
}

// Parse parses a mountinfo. Of one that was cut, it leaves the last line out.
func Parse(b []byte, cut bool) ([]*Info, error) {
	if cut {
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	return mountinfo.GetMountsFromReader(bytes.NewReader(b), nil)
}

// On returns the mount that a path lies on, and the path within its file system; nil if
// no mount is at or above it. Of several on one point, the last lies on top.
func On(list []*Info, name string) (m *Info, within string) {
	for _, o := range list {
		if nsops.Below(name, o.Mountpoint) && (m == nil || len(o.Mountpoint) >= len(m.Mountpoint)) {
			m = o
		}
	}
	if m == nil {
		return nil, ""
	}
	return m, path.Join(m.Root, strings.TrimPrefix(name, m.Mountpoint))
}

// At returns the mount that one reaches at a mount point; nil if none is there.
func At(list []*Info, point string) *Info {
	for _, m := range slices.Backward(list) {
		if m.Mountpoint == point {
			return m
		}
	}
	return nil
}

// Host is the mounts of dx's mount namespace by device, the widest first.
type Host map[[2]int][]*Info

// NewHost arranges what Own has returned.
func NewHost(own []*Info) Host {
	h := Host{}
	for _, m := range own {
		h[[2]int{m.Major, m.Minor}] = append(h[[2]int{m.Major, m.Minor}], m)
	}
	for _, same := range h {
		slices.SortStableFunc(same, func(a, b *Info) int { return len(a.Root) - len(b.Root) })
	}
	return h
}

// Path returns where dx finds a path of m's file system (m.Root, or one below it). It is
// text, for showing: another mount may cover it. ok is false where the file system, or
// that part of it, is not mounted here.
func (h Host) Path(m *Info, within string) (name string, ok bool) {
	for _, o := range h[[2]int{m.Major, m.Minor}] {
		if rest, ok := strings.CutPrefix(within+"/", strings.TrimSuffix(o.Root, "/")+"/"); ok {
			return path.Join(o.Mountpoint, rest), true
		}
	}
	return "", false
}
