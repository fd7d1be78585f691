package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"

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
		State: s.State, Status: s.Status, Labels: s.Labels, Ports: docker.Ports{},
	}
	for _, p := range s.Ports {
		if p.PublicPort != 0 {
			port := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type)
			out.Ports[port] = append(out.Ports[port], docker.Binding{HostIP: p.IP, HostPort: strconv.Itoa(int(p.PublicPort))})
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
//
// The request has no version, which means the engine's own: a client that negotiates
// asks twice. And the answer is parsed for what dx uses of it, a fifth of the work.
func (c *Client) Inspect(ctx context.Context, ref string) (*docker.Container, error) {
	var out *docker.Container
	err := c.call(ctx, "inspect "+ref, func(ctx context.Context) error {
		answer, err := c.get(ctx, "/containers/"+ref+"/json")
		if err != nil {
			return err
		}
		if out, err = docker.Parse(answer); err != nil {
			return err
		}
		if err := whole(answer); err != nil {
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

// whole refuses an answer of which a part is missing: what it does not say would be
// taken for no.
func whole(answer []byte) error {
	var parts struct{ State, Config, HostConfig *struct{} }
	if err := json.Unmarshal(answer, &parts); err != nil {
		return err
	}
	if parts.State == nil || parts.Config == nil || parts.HostConfig == nil {
		return errors.New("the answer lacks State, Config or HostConfig")
	}
	return nil
}

// get sends one request. What is no 200 is ErrNotFound, or ErrRefused in the words of
// docker's client.
func (c *Client) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.api.HTTPClient().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil, resp.StatusCode == http.StatusOK:
		return body, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, ErrNotFound
	}
	var said struct{ Message string }
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = resp.Status
	}
	return nil, fmt.Errorf("%w: Error response from daemon: %s", ErrRefused, said.Message)
}
