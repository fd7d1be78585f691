// Package docker holds what Docker says of a container, in the fields that GET
// /containers/ID/json and dockerd's own files have in common, and no more of them than
// dx uses. engine and host obtain it; dockerx verifies it.
package docker

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Container is what Docker says of one container. State is a claim: files lag behind
// the kernel's truth, and an engine can say anything.
type Container struct {
	// Origin is where it was read: "GET /containers/ID/json", or the path of
	// config.v2.json as the engine's root names it.
	Origin string `json:"-"`

	ID   string
	Name string // without the leading slash

	Created string // a time, as RFC 3339 has it
	Path    string // the program, entry point and all
	Args    []string
	Image   string // its ID
	Managed bool   // it is a task of swarm's; only the files tell

	State struct {
		Running, Paused, Restarting, Dead bool
		RemovalInProgress, OOMKilled      bool
		Pid                               int
		StartedAt, FinishedAt             time.Time
		ExitCode                          int
		Health                            struct{ Status string }
	}
	// RestartCount is how often the restart policy has started it again, since somebody
	// last did.
	RestartCount int

	Config struct {
		Hostname   string
		User       string
		Env        []string
		WorkingDir string
		Tty        bool
		Image      string
		Labels     map[string]string
	}

	NetworkSettings struct {
		Networks map[string]*Endpoint
		Ports    Ports
	}

	// MountPoints are its volumes and binds, by where they are mounted, as the files have
	// them; the engine answers with Mounts.
	MountPoints map[string]Mount
	Mounts      []Mount

	// HostConfig is what docker run asked for. The engine answers with it; dockerd
	// keeps it in a file of its own, and HostConfigOrigin says where.
	HostConfig       HostConfig
	HostConfigOrigin string `json:"-"`
}

// HostConfig is the part of a container's HostConfig that dx uses.
type HostConfig struct {
	Privileged bool
	GroupAdd   []string
	Links      []string // legacy links, "/db:/web/db"

	CapAdd         []string
	NetworkMode    string
	ReadonlyRootfs bool

	Memory, MemorySwap, MemoryReservation int64 // bytes; 0: none; swap includes memory, -1: unlimited
	PidsLimit                             *int64
	NanoCPUs                              int64 `json:"NanoCpus"`
	CPUQuota                              int64 `json:"CpuQuota"`
	CPUPeriod                             int64 `json:"CpuPeriod"`
	CPUShares                             int64 `json:"CpuShares"`
	CpusetCpus                            string
}

// Endpoint is a container's place in a network of Docker's.
type Endpoint struct {
	NetworkID           string
	IPAddress           string
	IPPrefixLen         int
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
}

// Mount is a volume or a bind of a container. Only a volume has a name and a driver.
type Mount struct{ Name, Source, Destination, Driver string }

// Mounted returns its volumes and binds, by where they are mounted.
func (c *Container) Mounted() []Mount {
	list := slices.AppendSeq(slices.Clone(c.Mounts), maps.Values(c.MountPoints))
	slices.SortFunc(list, func(a, b Mount) int { return strings.Compare(a.Destination, b.Destination) })
	return list
}

// Ports are the host's ports that lead to a container's, by those: "80/tcp". A port that
// is exposed and not published has none.
type Ports map[string][]Binding

// Binding is a port of the host's. It is text, as an engine sends it.
type Binding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// IsName reports whether a text could be what a container is called, or an ID or the beginning
// of one (moby, daemon/names). What could not is never sent, as it would become part of a URL,
// and never offered: it might be a reference of another kind ("host:").
func IsName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return s != ""
}

// IsID reports whether s is a full container ID as dockerd makes them.
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
