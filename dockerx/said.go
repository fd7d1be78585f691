package dockerx

import (
	"path"

	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// said is what Docker says of a container beside what docker exec uses of it.
type said struct {
	pid        int
	paused     bool
	hostConfig host.HostConfig
	networks   map[string]*host.Endpoint

	// Where it was read: what docker run asked for, and the state.
	hostOrigin, stateOrigin string
}

// said is what the engine says, else Docker's files; nil if neither says anything.
func (c *Container) said(files func() (*host.Docker, error)) *said {
	if c.Config != nil {
		return c.Config.said
	}
	d, err := files()
	if err != nil {
		return nil
	}
	return saidByFiles(d)
}

func saidByFiles(d *host.Docker) *said {
	return &said{
		pid: d.State.Pid, paused: d.State.Paused, hostConfig: d.HostConfig, networks: d.NetworkSettings.Networks,
		hostOrigin: path.Dir(d.Path) + "/hostconfig.json ", stateOrigin: d.Path + " ",
	}
}

func saidByEngine(d *engine.Detail) *said {
	h := d.HostConfig
	origin := "GET /containers/" + d.ID + "/json "
	s := &said{
		pid: d.PID, paused: d.Paused, networks: map[string]*host.Endpoint{},
		hostOrigin: origin + "HostConfig.", stateOrigin: origin,
		hostConfig: host.HostConfig{
			Privileged: h.Privileged, CapAdd: h.CapAdd, NetworkMode: string(h.NetworkMode), ReadonlyRootfs: h.ReadonlyRootfs,
			Memory: h.Memory, MemorySwap: h.MemorySwap, MemoryReservation: h.MemoryReservation, PidsLimit: h.PidsLimit,
			NanoCPUs: h.NanoCPUs, CPUQuota: h.CPUQuota, CPUPeriod: h.CPUPeriod, CPUShares: h.CPUShares, CpusetCpus: h.CpusetCpus,
		},
	}
	for name, e := range d.Networks {
		if e != nil {
			s.networks[name] = &host.Endpoint{
				IPAddress: e.IPAddress, IPPrefixLen: e.IPPrefixLen,
				GlobalIPv6Address: e.GlobalIPv6Address, GlobalIPv6PrefixLen: e.GlobalIPv6PrefixLen,
			}
		}
	}
	return s
}
