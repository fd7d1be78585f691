package engine

import (
	"context"
	"encoding/json"
	"net/url"
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
