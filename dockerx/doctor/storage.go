package doctor

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/launch"
	"dx/nsops/proc"
)

// nearlyFull is how little may be left, in percent, of blocks or inodes.
const nearlyFull = 1

// storage looks at the file system under the data root. A process of its own asks
// first, so that a file system that does not answer holds nobody.
func (p *Examination) storage(ctx context.Context, dataRoot string) []Finding {
	p.mu.Lock()
	d := p.dockerd
	p.mu.Unlock()
	root, err := statRoot(d)
	if err != nil {
		return nil
	}
	defer root.Close()
	answers, err := launch.StatFS(ctx, []launch.MountPoint{{Root: root, Path: dataRoot}})
	switch {
	case err != nil:
		return []Finding{found(unchecked, "the data root was not checked: %v", err)}
	case answers[0] == launch.Silent:
		return []Finding{found(mountSilent, "the file system of the data root %s does not answer", dataRoot).path(dataRoot)}
	case answers[0] == launch.Failed:
		return []Finding{found(info, "no data root at %s", dataRoot)}
	}
	return diskFindings(d, dataRoot)
}

func diskFindings(d *proc.Process, dataRoot string) []Finding {
	var st unix.Statfs_t
	if err := statfsIn(d, dataRoot, &st); err != nil {
		return []Finding{found(unchecked, "the data root was not checked: %v", err)}
	}
	mib := func(blocks uint64) uint64 { return blocks * uint64(st.Bsize) >> 20 }
	var out []Finding
	if st.Flags&unix.ST_RDONLY != 0 {
		out = append(out, found(storageReadOnly, "the data root %s is read-only", dataRoot).path(dataRoot))
	}
	if st.Blocks > 0 && st.Bavail*100 <= st.Blocks*nearlyFull {
		out = append(out, found(storageFull, "the data root %s is full", dataRoot).path(dataRoot).
			evidence(fmt.Sprintf("statfs: %d of %d MiB are free", mib(st.Bavail), mib(st.Blocks))))
	}
	if st.Files > 0 && st.Ffree*100 <= st.Files*nearlyFull {
		out = append(out, found(storageFull, "the data root %s has no inodes left", dataRoot).path(dataRoot).
			evidence(fmt.Sprintf("statfs: %d of %d inodes are free", st.Ffree, st.Files)))
	}
	return out
}

func statfsIn(p *proc.Process, name string, st *unix.Statfs_t) error {
	if p == nil {
		return unix.Statfs(name, st)
	}
	f, err := host.OpenPath(p, name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fstatfs(int(f.Fd()), st)
}

// remote are the types of file systems whose answers come from somebody else.
var remote = []string{"fuse", "nfs", "cifs", "smb", "9p", "ceph", "gluster", "lustre", "afs", "glusterfs", "ocfs2", "gfs2", "virtiofs", "beegfs"}

// mayHang tells the file systems that are asked: those of a server, and overlays,
// which ask the one below.
func mayHang(fsType string) (asked, alone bool) {
	if fsType == "fusectl" {
		return false, false
	}
	for _, r := range remote {
		if strings.HasPrefix(fsType, r) {
			return true, true
		}
	}
	return fsType == "overlay", false
}
