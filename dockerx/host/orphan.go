package host

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/moby/sys/mountinfo"

	"dx/nsops/proc"
)

// DockerOf reads Docker's files of a container from its init process alone, for
// one whose shim has died: the mounts of /etc/hostname and its like come from
// Docker's data root. os.ErrNotExist if they do not lead there.
func DockerOf(init *proc.Process, id string) (*Docker, error) {
	b, err := init.ReadFile("mountinfo")
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	dir, err := containersDirIn(bytes.NewReader(b), bytes.NewReader(self))
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/mountinfo: %w", init.PID, err)
	}
	// Opened in dx's own root: with the shim there is no other witness left.
	root, err := os.Open("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := openDirIn(root, path.Join(dir, id))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := readDocker(f, path.Join(dir, id))
	if err == nil && d.ID != id {
		err = fmt.Errorf("%s holds the configuration of %s", d.Path, d.ID)
	}
	return d, err
}

// containersDirIn finds <data-root>/containers: init's mountinfo gives the
// folder within its file system, ours where that file system is mounted here.
func containersDirIn(init, self io.Reader) (string, error) {
	theirs, err := mountinfo.GetMountsFromReader(init, notDockerFile)
	if err != nil {
		return "", err
	}
	ours, err := mountinfo.GetMountsFromReader(self, nil)
	if err != nil {
		return "", err
	}
	for _, m := range theirs {
		if dir, ok := mountedHere(m, ours); ok {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no mount leads to Docker's files: %w", os.ErrNotExist)
}

// notDockerFile skips mounts that are not of <data-root>/containers.
func notDockerFile(m *mountinfo.Info) (skip, stop bool) {
	_, ok := containersDirOf(m.Root)
	return !ok, false
}

func mountedHere(m *mountinfo.Info, ours []*mountinfo.Info) (string, bool) {
	dir, _ := containersDirOf(m.Root)
	for _, o := range ours {
		if o.Major != m.Major || o.Minor != m.Minor {
			continue
		}
		if rest, ok := strings.CutPrefix(dir+"/", strings.TrimSuffix(o.Root, "/")+"/"); ok {
			return path.Join(o.Mountpoint, rest), true
		}
	}
	return "", false
}
