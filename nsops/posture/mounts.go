package posture

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"dx/nsops/proc"
)

// Mounts are those that the process can reach, in the kernel's order.
type Mounts struct {
	List []Mount
	// Truncated: there are more than the 4 MiB of mountinfo that are read tell.
	Truncated bool `json:",omitempty"`
}

// Mount is one of them (proc_pid_mountinfo(5)).
type Mount struct {
	Destination string
	// HostSource is where the caller finds the same files: a folder of the host for a
	// bind mount or a volume, the upper layer of an overlay. Empty where the host
	// has no such place. It is text: for showing, not for opening.
	HostSource  string
	Source      string // as the kernel has it: /dev/vda, tmpfs, overlay
	Root        string // what of the file system is mounted
	FSType      string
	Device      string // major:minor
	Options     []string
	Super       []string // options of the file system as a whole
	Propagation string   `json:",omitempty"` // shared:1, master:1; empty: private
	ReadOnly    bool     // the mount, or the file system
}

func (r *reader) mounts() error {
	theirs, truncated, err := readMounts(r.p)
	if err != nil {
		return err
	}
	self, err := proc.Self()
	if err != nil {
		return err
	}
	defer self.Close()
	ours, _, err := readMounts(self)
	if err != nil {
		return err
	}
	here := newHostMounts(ours)
	m := &Mounts{Truncated: truncated}
	for _, info := range theirs {
		m.List = append(m.List, here.mount(info))
	}
	r.out.Mounts = m
	return nil
}

func readMounts(p *proc.Process) (list []*mountinfo.Info, truncated bool, err error) {
	b, err := p.ReadFile("mountinfo")
	if err != nil {
		return nil, false, err
	}
	b, truncated = wholeLines(b)
	list, err = mountinfo.GetMountsFromReader(bytes.NewReader(b), nil)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", file(p.PID, "mountinfo"), err)
	}
	return list, truncated, nil
}

// wholeLines drops a last line that the limit of a read has cut.
func wholeLines(b []byte) ([]byte, bool) {
	if len(b) == 0 || b[len(b)-1] == '\n' {
		return b, false
	}
	return b[:bytes.LastIndexByte(b, '\n')+1], true
}

// hostMounts are the caller's own mounts by device, the widest first.
type hostMounts map[[2]int][]*mountinfo.Info

func newHostMounts(list []*mountinfo.Info) hostMounts {
	h := hostMounts{}
	for _, m := range list {
		key := [2]int{m.Major, m.Minor}
		h[key] = append(h[key], m)
	}
	for _, same := range h {
		slices.SortStableFunc(same, func(a, b *mountinfo.Info) int { return len(a.Root) - len(b.Root) })
	}
	return h
}

func (h hostMounts) mount(m *mountinfo.Info) Mount {
	out := Mount{
		Destination: m.Mountpoint, Source: m.Source, Root: m.Root, FSType: m.FSType,
		Device:  fmt.Sprintf("%d:%d", m.Major, m.Minor),
		Options: strings.Split(m.Options, ","), Super: strings.Split(m.VFSOptions, ","), Propagation: m.Optional,
	}
	out.ReadOnly = slices.Contains(out.Options, "ro") || slices.Contains(out.Super, "ro")
	out.HostSource = h.source(m, out.Super)
	return out
}

// source: the same device is mounted on the host, too, and holds what is mounted
// here. An overlay is mostly mounted by the engine alone; its upper layer tells more.
func (h hostMounts) source(m *mountinfo.Info, super []string) string {
	if m.FSType == "overlay" {
		for _, o := range super {
			if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
				return upper
			}
		}
	}
	for _, o := range h[[2]int{m.Major, m.Minor}] {
		if rest, ok := strings.CutPrefix(m.Root+"/", strings.TrimSuffix(o.Root, "/")+"/"); ok {
			return path.Join(o.Mountpoint, rest)
		}
	}
	return ""
}
