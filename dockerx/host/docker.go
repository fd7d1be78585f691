package host

import (
	"errors"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Docker is the part of what dockerd keeps of a container that dx uses:
// <data-root>/containers/<id>/config.v2.json and hostconfig.json beside it.
// It is written after the fact: State may lag behind the kernel's truth.
type Docker struct {
	Path string // of config.v2.json, as the shim's root names it

	ID   string
	Name string // without the leading slash

	State struct {
		Running, Paused, Restarting, Dead bool
		Pid                               int
		StartedAt, FinishedAt             time.Time
		ExitCode                          int
	}
	Config struct {
		Hostname   string
		User       string
		Env        []string
		WorkingDir string
		Tty        bool
		Image      string
		Labels     map[string]string
	}
	Driver string

	NetworkSettings struct {
		Networks map[string]*Endpoint
		Ports    map[string][]struct{ HostIP, HostPort string } // by "80/tcp"
	}

	HostConfig HostConfig `json:"-"`
}

// HostConfig is the part of hostconfig.json that dx uses.
type HostConfig struct {
	Privileged bool
	GroupAdd   []string
	Links      []string // legacy links, "/db:/web/db"

	CapAdd         []string
	NetworkMode    string
	ReadonlyRootfs bool

	Memory, MemorySwap, MemoryReservation    int64 // bytes; 0: none; swap includes memory, -1: unlimited
	PidsLimit                                *int64
	NanoCPUs, CPUQuota, CPUPeriod, CPUShares int64
	CpusetCpus                               string
}

// Endpoint is a container's place in a network of Docker's.
type Endpoint struct {
	IPAddress           string
	IPPrefixLen         int
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
}

// ParseDocker parses config.v2.json.
func ParseDocker(b []byte) (*Docker, error) {
	var d Docker
	if err := decode(b, &d); err != nil {
		return nil, err
	}
	if !IsID(d.ID) {
		return nil, errors.New("no container ID")
	}
	d.Name = strings.TrimPrefix(d.Name, "/")
	return &d, nil
}

// ParseHostConfig parses hostconfig.json.
func ParseHostConfig(b []byte) (HostConfig, error) {
	var h HostConfig
	err := decode(b, &h)
	return h, err
}

// IsID says whether s is a full container ID as dockerd makes them.
func IsID(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// containersDir finds <data-root>/containers in the mounts of a bundle: dockerd
// binds resolv.conf, hostname and hosts from <data-root>/containers/<id>. With
// --network container:X the <id> is X's, so only the folder above counts.
func containersDir(mounts []specs.Mount) (string, bool) {
	for _, m := range mounts {
		switch m.Destination {
		case "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/dev/shm":
			if dir, ok := containersDirOf(m.Source); ok {
				return dir, true
			}
		}
	}
	return "", false
}

// containersDirOf cuts "/containers/<id>/…" off: dir ends with "/containers".
func containersDirOf(file string) (dir string, ok bool) {
	const folder = "/containers/"
	i := strings.LastIndex(file, folder)
	if i < 0 || !path.IsAbs(file) {
		return "", false
	}
	id, _, _ := strings.Cut(file[i+len(folder):], "/")
	if !IsID(id) {
		return "", false
	}
	return file[:i+len(folder)-1], true
}
