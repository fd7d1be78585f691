package docker

import (
	"encoding/json"
	"errors"
	"strings"

	"dx/dockerx/plain"
)

// Parse parses either form of JSON. A container without an ID is an error.
func Parse(b []byte) (*Container, error) {
	c, _, err := parse(b)
	return c, err
}

// ParseAnswer parses an engine's answer. It rejects one without State, Config or HostConfig,
// whose fields would read as false.
func ParseAnswer(b []byte) (*Container, error) {
	c, has, err := parse(b)
	if err == nil && has != (parts{true, true, true}) {
		err = errors.New("the answer lacks State, Config or HostConfig")
	}
	return c, err
}

// parts are those objects of a container that are there.
type parts struct{ state, config, hostConfig bool }

func parse(b []byte) (*Container, parts, error) {
	c, has := &Container{}, parts{}
	if !plain.Read(b, func(r *plain.Reader) { c.read(r, &has) }) {
		var err error
		if c, has, err = decode(b); err != nil {
			return nil, has, err
		}
	}
	if !IsID(c.ID) {
		return nil, has, errors.New("no container ID")
	}
	c.Name = strings.TrimPrefix(c.Name, "/")
	return c, has, nil
}

// decode is parse for what is not plain.
func decode(b []byte) (*Container, parts, error) {
	var c Container
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, parts{}, err
	}
	var has struct{ State, Config, HostConfig *struct{} }
	err := json.Unmarshal(b, &has)
	return &c, parts{has.State != nil, has.Config != nil, has.HostConfig != nil}, err
}

func (c *Container) read(r *plain.Reader, has *parts) {
	r.Object([]plain.Field{
		{Key: "Id", To: &c.ID}, {Key: "ID", To: &c.ID},
		{Key: "Name", To: &c.Name}, {Key: "Created", To: &c.Created}, {Key: "Path", To: &c.Path},
		{Key: "Args", To: &c.Args}, {Key: "Image", To: &c.Image}, {Key: "Managed", To: &c.Managed},
		{Key: "State", To: func(r *plain.Reader) { has.state = true; c.readState(r) }},
		{Key: "RestartCount", To: &c.RestartCount},
		{Key: "Config", To: func(r *plain.Reader) { has.config = true; c.readConfig(r) }},
		{Key: "NetworkSettings", To: c.readNetworks},
		{Key: "MountPoints", To: c.readMountPoints}, {Key: "Mounts", To: plain.List(&c.Mounts, ReadMount)},
		{Key: "HostConfig", To: func(r *plain.Reader) { has.hostConfig = true; c.HostConfig.read(r) }},
	}...)
}

func (c *Container) readState(r *plain.Reader) {
	s := &c.State
	r.Object([]plain.Field{
		{Key: "Running", To: &s.Running}, {Key: "Paused", To: &s.Paused}, {Key: "Restarting", To: &s.Restarting},
		{Key: "Dead", To: &s.Dead}, {Key: "RemovalInProgress", To: &s.RemovalInProgress}, {Key: "OOMKilled", To: &s.OOMKilled},
		{Key: "Pid", To: &s.Pid}, {Key: "StartedAt", To: &s.StartedAt}, {Key: "FinishedAt", To: &s.FinishedAt},
		{Key: "ExitCode", To: &s.ExitCode},
		{Key: "Health", To: func(r *plain.Reader) { r.Object(plain.Field{Key: "Status", To: &s.Health.Status}) }},
	}...)
}

func (c *Container) readConfig(r *plain.Reader) {
	o := &c.Config
	r.Object([]plain.Field{
		{Key: "Hostname", To: &o.Hostname}, {Key: "User", To: &o.User}, {Key: "Env", To: &o.Env},
		{Key: "WorkingDir", To: &o.WorkingDir}, {Key: "Tty", To: &o.Tty}, {Key: "Image", To: &o.Image}, {Key: "Labels", To: &o.Labels},
	}...)
}

func (c *Container) readNetworks(r *plain.Reader) {
	n := &c.NetworkSettings
	r.Object(
		plain.Field{Key: "Networks", To: func(r *plain.Reader) {
			n.Networks = map[string]*Endpoint{}
			r.Entries(func(name string) { n.Networks[name] = readEndpoint(r) })
		}},
		plain.Field{Key: "Ports", To: func(r *plain.Reader) {
			n.Ports = Ports{}
			r.Entries(func(port string) { n.Ports[port] = readBindings(r) })
		}})
}

// readEndpoint returns nil for null.
func readEndpoint(r *plain.Reader) *Endpoint {
	if r.Null() {
		return nil
	}
	e := &Endpoint{}
	r.Object([]plain.Field{
		{Key: "NetworkID", To: &e.NetworkID}, {Key: "IPAddress", To: &e.IPAddress}, {Key: "IPPrefixLen", To: &e.IPPrefixLen},
		{Key: "GlobalIPv6Address", To: &e.GlobalIPv6Address}, {Key: "GlobalIPv6PrefixLen", To: &e.GlobalIPv6PrefixLen},
	}...)
	return e
}

// readBindings returns nil for null.
func readBindings(r *plain.Reader) []Binding {
	if r.Null() {
		return nil
	}
	var list []Binding
	plain.List(&list, func(r *plain.Reader, b *Binding) {
		r.Object(plain.Field{Key: "HostIp", To: &b.HostIP}, plain.Field{Key: "HostPort", To: &b.HostPort})
	})(r)
	return list
}

func (c *Container) readMountPoints(r *plain.Reader) {
	c.MountPoints = map[string]Mount{}
	r.Entries(func(at string) {
		var m Mount
		ReadMount(r, &m)
		c.MountPoints[at] = m
	})
}

// ReadMount reads one as an engine tells it.
func ReadMount(r *plain.Reader, m *Mount) {
	r.Object([]plain.Field{
		{Key: "Name", To: &m.Name}, {Key: "Source", To: &m.Source}, {Key: "Destination", To: &m.Destination}, {Key: "Driver", To: &m.Driver},
	}...)
}

// ParseHostConfig parses hostconfig.json.
func ParseHostConfig(b []byte) (h HostConfig, err error) {
	if !plain.Read(b, h.read) {
		h = HostConfig{}
		err = json.Unmarshal(b, &h)
	}
	return h, err
}

func (h *HostConfig) read(r *plain.Reader) {
	r.Object([]plain.Field{
		{Key: "Privileged", To: &h.Privileged}, {Key: "GroupAdd", To: &h.GroupAdd}, {Key: "Links", To: &h.Links},
		{Key: "CapAdd", To: &h.CapAdd}, {Key: "NetworkMode", To: &h.NetworkMode}, {Key: "ReadonlyRootfs", To: &h.ReadonlyRootfs},
		{Key: "Memory", To: &h.Memory}, {Key: "MemorySwap", To: &h.MemorySwap}, {Key: "MemoryReservation", To: &h.MemoryReservation},
		{Key: "PidsLimit", To: plain.Pointer(&h.PidsLimit, plain.Number[int64])},
		{Key: "NanoCpus", To: &h.NanoCPUs}, {Key: "CpuQuota", To: &h.CPUQuota}, {Key: "CpuPeriod", To: &h.CPUPeriod},
		{Key: "CpuShares", To: &h.CPUShares}, {Key: "CpusetCpus", To: &h.CpusetCpus},
	}...)
}
