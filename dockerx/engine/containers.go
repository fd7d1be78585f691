package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dx/dockerx/docker"
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
	Ports  docker.Ports

	ImageID  string
	Command  string // with its arguments
	Created  time.Time
	Networks map[string]string // their IDs by their names
	Mounts   []docker.Mount
}

// List returns the running containers, or all of them.
//
// The request has no version, see Inspect, and the answer is parsed one container after
// the other: what an engine sends without end takes no room.
func (c *Client) List(ctx context.Context, all bool) ([]Summary, error) {
	if all {
		return c.list(ctx, "?all=1")
	}
	return c.list(ctx, "")
}

// Select returns all containers for which the filters of docker ps hold: values by keys.
func (c *Client) Select(ctx context.Context, filters map[string][]string) ([]Summary, error) {
	sets := map[string]map[string]bool{}
	for key, values := range filters {
		sets[key] = map[string]bool{}
		for _, v := range values {
			sets[key][v] = true
		}
	}
	text, err := json.Marshal(sets)
	if err != nil {
		return nil, err
	}
	return c.list(ctx, "?"+url.Values{"all": {"1"}, "filters": {string(text)}}.Encode())
}

func (c *Client) list(ctx context.Context, query string) ([]Summary, error) {
	var out []Summary
	err := c.call(ctx, "list containers", func(ctx context.Context) (err error) {
		return c.get(ctx, "/containers/json"+query, maxAnswer, func(r *bounded) error {
			out, err = readList(r)
			return err
		})
	})
	return out, err
}

// listed is the part of a list's entry that dx uses.
type listed struct {
	ID            string
	Names         []string
	Image         string
	ImageID       string
	Command       string
	Created       int64
	State, Status string
	Labels        map[string]string
	Ports         []struct {
		IP                      string
		PrivatePort, PublicPort uint16
		Type                    string
	}
	NetworkSettings struct {
		Networks map[string]*struct{ NetworkID string }
	}
	Mounts []docker.Mount
}

// What a list may take. A container that docker compose has started takes 2 KiB in
// dx's memory, one of docker run a quarter of that.
const (
	maxEntry = 1 << 20  // bytes of one container's, and of what is between two
	maxKept  = 12 << 20 // of memory, for all
)

func readList(r *bounded) ([]Summary, error) {
	in := json.NewDecoder(r)
	r.part = maxEntry
	switch begin, err := in.Token(); {
	case err != nil:
		return nil, err
	case begin == nil: // neither dockerd nor Podman says that
		return nil, errors.New("the answer is no list: it is null")
	case begin != json.Delim('['):
		return nil, fmt.Errorf("the answer is no list: it begins with %v", begin)
	}
	var out []Summary
	for kept := 0; in.More(); {
		var entry listed
		r.part = maxEntry
		if err := in.Decode(&entry); err != nil {
			return nil, err
		}
		if kept += entry.weight(); kept > maxKept {
			return nil, &tooLargeError{fmt.Sprintf("the list, with more than %d containers,", len(out)), maxKept}
		}
		out = append(out, summary(entry))
	}
	_, err := in.Token()
	return out, err
}

// weight is what an entry takes in memory, or a little more.
func (l *listed) weight() int {
	n := 500 + len(l.ID) + len(l.Image) + len(l.ImageID) + len(l.Command) + len(l.State) + len(l.Status)
	for _, name := range l.Names {
		n += 16 + len(name)
	}
	for k, v := range l.Labels {
		n += 80 + len(k) + len(v)
	}
	for name := range l.NetworkSettings.Networks {
		n += 150 + len(name)
	}
	for _, m := range l.Mounts {
		n += 64 + len(m.Name) + len(m.Source) + len(m.Destination) + len(m.Driver)
	}
	return n + 200*len(l.Ports)
}

func summary(s listed) Summary {
	out := Summary{
		ID: s.ID, Name: ownName(s.Names), Image: s.Image,
		State: s.State, Status: s.Status, Labels: s.Labels, Ports: docker.Ports{},
		ImageID: s.ImageID, Command: s.Command, Networks: map[string]string{}, Mounts: s.Mounts,
	}
	if s.Created != 0 {
		out.Created = time.Unix(s.Created, 0)
	}
	for name, n := range s.NetworkSettings.Networks {
		out.Networks[name] = ""
		if n != nil {
			out.Networks[name] = n.NetworkID
		}
	}
	for _, p := range s.Ports {
		port := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type)
		bindings := out.Ports[port]
		if p.PublicPort != 0 {
			bindings = append(bindings, docker.Binding{HostIP: p.IP, HostPort: strconv.Itoa(int(p.PublicPort))})
		}
		out.Ports[port] = bindings
	}
	return out
}

// ownName picks the container's own name: the others, of legacy links, have two
// slashes ("/web/db"). Empty if no container can be called so: who lies may be the engine.
func ownName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); docker.IsName(n) {
			return n
		}
	}
	return ""
}

// Inspect asks for one container by name, ID or ID prefix. It takes the
// container's lock in dockerd (moby daemon/inspect.go) and can hang for one
// container while all else answers.
//
// The request has no version, which means the engine's own: a client that negotiates
// asks twice. And the answer is parsed for what dx uses of it, a fifth of the work.
func (c *Client) Inspect(ctx context.Context, ref string) (*docker.Container, error) {
	var out *docker.Container
	err := c.call(ctx, "inspect "+ref, func(ctx context.Context) error {
		answer, err := c.getAll(ctx, "/containers/"+ref+"/json", maxInspect)
		if err != nil {
			return err
		}
		if out, err = docker.ParseAnswer(answer); err != nil {
			return err
		}
		out.Origin = "GET /containers/" + out.ID + "/json"
		out.HostConfigOrigin = out.Origin + " HostConfig"
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
