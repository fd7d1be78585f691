package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	apinetwork "github.com/docker/docker/api/types/network"
)

// Summary is a container as the list shows it. The list is read from a snapshot:
// it answers also while a container's lock is held, but it knows no PID.
type Summary struct {
	ID     string // 64 hex digits
	Name   string // without the leading slash
	Image  string
	State  string // created, running, paused, restarting, removing, exited, dead
	Status string // "Up 3 minutes"
	Labels map[string]string
	Ports  []Port // published ones
}

// Detail is a container as inspect shows it.
type Detail struct {
	ID    string
	Name  string // without the leading slash
	Image string // as given to docker run
	PID   int    // 0: no process

	Running, Paused, Restarting bool

	Hostname   string
	User       string
	Env        []string
	WorkingDir string
	Tty        bool
	Privileged bool
	GroupAdd   []string
	Links      []string // legacy links, "/db:/web/db"
	Ports      []Port   // published ones

	// HostConfig and Networks are what docker run asked for and what it was given.
	HostConfig *container.HostConfig
	Networks   map[string]*apinetwork.EndpointSettings
}

// Port is a port of the host's that leads to one of the container's, in the words of
// the API.
type Port struct {
	Container        string // "80/tcp"
	HostIP, HostPort string
}

// List returns the running containers, or all of them.
func (c *Client) List(ctx context.Context, all bool) ([]Summary, error) {
	var out []Summary
	err := c.call(ctx, "list containers", func(ctx context.Context) error {
		list, err := c.api.ContainerList(ctx, container.ListOptions{All: all})
		for _, s := range list {
			out = append(out, summary(s))
		}
		return err
	})
	return out, err
}

func summary(s container.Summary) Summary {
	out := Summary{
		ID: s.ID, Name: ownName(s.Names), Image: s.Image,
		State: s.State, Status: s.Status, Labels: s.Labels,
	}
	for _, p := range s.Ports {
		if p.PublicPort != 0 {
			out.Ports = append(out.Ports, Port{
				Container: fmt.Sprintf("%d/%s", p.PrivatePort, p.Type),
				HostIP:    p.IP, HostPort: strconv.Itoa(int(p.PublicPort)),
			})
		}
	}
	return out
}

// ownName picks the container's own name: the others, of legacy links, have two
// slashes ("/web/db").
func ownName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

// Inspect asks for one container by name, ID or ID prefix. It takes the
// container's lock in dockerd (moby daemon/inspect.go) and can hang for one
// container while all else answers.
func (c *Client) Inspect(ctx context.Context, ref string) (*Detail, error) {
	var out *Detail
	err := c.call(ctx, "inspect "+ref, func(ctx context.Context) error {
		r, err := c.api.ContainerInspect(ctx, ref)
		if err != nil {
			return err
		}
		out, err = detail(r)
		return err
	})
	return out, err
}

func detail(r container.InspectResponse) (*Detail, error) {
	if r.ContainerJSONBase == nil || r.State == nil || r.Config == nil || r.HostConfig == nil {
		return nil, errors.New("the answer lacks State, Config or HostConfig")
	}
	d := &Detail{
		ID: r.ID, Name: strings.TrimPrefix(r.Name, "/"), Image: r.Config.Image,
		PID:     r.State.Pid,
		Running: r.State.Running, Paused: r.State.Paused, Restarting: r.State.Restarting,
		Hostname: r.Config.Hostname, User: r.Config.User, Env: r.Config.Env,
		WorkingDir: r.Config.WorkingDir, Tty: r.Config.Tty,
		Privileged: r.HostConfig.Privileged, GroupAdd: r.HostConfig.GroupAdd, Links: r.HostConfig.Links,
		HostConfig: r.HostConfig, Ports: published(r.NetworkSettings),
	}
	if r.NetworkSettings != nil {
		d.Networks = r.NetworkSettings.Networks
	}
	return d, nil
}

func published(n *container.NetworkSettings) []Port {
	if n == nil {
		return nil
	}
	var out []Port
	for port, bindings := range n.Ports {
		for _, b := range bindings {
			out = append(out, Port{Container: string(port), HostIP: b.HostIP, HostPort: b.HostPort})
		}
	}
	return out
}
