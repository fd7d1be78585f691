package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
	"dx/nsops/rootfs"
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
	var deputy launch.Deputy
	defer deputy.Close()
	if end, ok := ctx.Deadline(); ok {
		deputy.Patience = max(time.Until(end)-grace, grace)
	}
	at, err := rootfs.At(root, &deputy, "dockerd").Stat(dataRoot)
	for again := 0; again < 3 && errors.Is(err, launch.ErrSilent) && crowded(); again++ {
		deputy.Patience = 0 // the usual one: it was late, not silent
		at, err = rootfs.At(root, &deputy, "dockerd").Stat(dataRoot)
	}
	switch {
	case errors.Is(err, launch.ErrSilent):
		return []Finding{found(mountSilent, "the file system of the data root %s does not answer", dataRoot).path(dataRoot)}
	case err != nil:
		return []Finding{found(info, "no data root at %s", dataRoot)}
	}
	return diskFindings(at.FS, dataRoot)
}

func diskFindings(st unix.Statfs_t, dataRoot string) []Finding {
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
