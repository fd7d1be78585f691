package posture

import (
	"fmt"
	"slices"
	"strings"

	"dx/nsops/mounts"
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
	// HostSource is where the caller finds the same files: a directory of the host for a
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
	theirs, truncated, err := mounts.Read(r.p)
	if err != nil {
		return err
	}
	ours, err := mounts.Own()
	if err != nil {
		return err
	}
	host := mounts.NewHost(ours)
	m := &Mounts{Truncated: truncated}
	for _, info := range theirs {
		m.List = append(m.List, newMount(info, host))
	}
	r.out.Mounts = m
	return nil
}

func newMount(m *mounts.Info, host mounts.Host) Mount {
	out := Mount{
		Destination: m.Mountpoint, Source: m.Source, Root: m.Root, FSType: m.FSType,
		Device:  fmt.Sprintf("%d:%d", m.Major, m.Minor),
		Options: strings.Split(m.Options, ","), Super: strings.Split(m.VFSOptions, ","), Propagation: m.Optional,
	}
	out.ReadOnly = slices.Contains(out.Options, "ro") || slices.Contains(out.Super, "ro")
	out.HostSource = hostSource(m, out.Super, host)
	return out
}

// hostSource returns where the host has what is mounted. An overlay is mostly mounted by
// the engine alone; its upper layer tells more.
func hostSource(m *mounts.Info, super []string, host mounts.Host) string {
	if m.FSType == "overlay" {
		for _, o := range super {
			if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
				return upper
			}
		}
	}
	name, _ := host.Path(m, m.Root)
	return name
}
