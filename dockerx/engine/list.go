package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/plain"
)

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
	Ports         []listedPort

	NetworkSettings struct{ Networks map[string]*listedNetwork }
	Mounts          []docker.Mount
}

type listedPort struct {
	IP                      string
	PrivatePort, PublicPort uint16
	Type                    string
}

type listedNetwork struct{ NetworkID string }

// What a list may take. A container that docker compose has started takes 2 KiB in
// dx's memory, one of docker run a quarter of that.
const (
	maxEntry  = 1 << 20  // bytes of one container's, and of what is between two
	maxKept   = 12 << 20 // of memory, for all
	maxAtOnce = 1 << 20  // bytes of a list that is read at once
)

// readList reads a short list at once, and a long one entry by entry.
func readList(r *bounded) ([]Summary, error) {
	r.part = maxAtOnce + 1
	head, err := io.ReadAll(io.LimitReader(r, maxAtOnce))
	if err != nil {
		return nil, err
	}
	if len(head) < maxAtOnce {
		var list kept
		if plain.Read(head, list.read) {
			return list.all, list.err
		}
	}
	return decodeList(r, io.MultiReader(bytes.NewReader(head), r))
}

// kept is what is kept of a list.
type kept struct {
	all    []Summary
	weight int
	err    error // a tooLargeError: there is more
}

func (k *kept) add(l *listed) {
	if k.err != nil {
		return
	}
	if k.weight += l.weight(); k.weight > maxKept {
		k.err = &tooLargeError{fmt.Sprintf("the list, with more than %d containers,", len(k.all)), maxKept}
		return
	}
	k.all = append(k.all, summary(l))
}

func (k *kept) read(r *plain.Reader) {
	r.Elements(func() {
		var entry listed
		entry.read(r)
		k.add(&entry)
	})
}

// decodeList is for what is not plain, or long. from has the whole answer; what has not been read
// of it yet comes from r, whose bounds are set for each entry.
func decodeList(r *bounded, from io.Reader) ([]Summary, error) {
	in := json.NewDecoder(from)
	r.part = maxEntry
	switch begin, err := in.Token(); {
	case err != nil:
		return nil, err
	case begin == nil: // neither dockerd nor Podman says that
		return nil, errors.New("the answer is no list: it is null")
	case begin != json.Delim('['):
		return nil, fmt.Errorf("the answer is no list: it begins with %v", begin)
	}
	var list kept
	for list.err == nil && in.More() {
		var entry listed
		r.part = maxEntry
		if err := in.Decode(&entry); err != nil {
			return nil, err
		}
		list.add(&entry)
	}
	if list.err != nil {
		return nil, list.err
	}
	_, err := in.Token()
	return list.all, err
}

func (l *listed) read(r *plain.Reader) {
	r.Object([]plain.Field{
		{Key: "Id", To: &l.ID}, {Key: "ID", To: &l.ID}, {Key: "Names", To: &l.Names}, {Key: "Image", To: &l.Image},
		{Key: "ImageID", To: &l.ImageID}, {Key: "Command", To: &l.Command}, {Key: "Created", To: &l.Created},
		{Key: "State", To: &l.State}, {Key: "Status", To: &l.Status}, {Key: "Labels", To: &l.Labels},
		{Key: "Ports", To: plain.List(&l.Ports, readPort)},
		{Key: "NetworkSettings", To: func(r *plain.Reader) { r.Object(plain.Field{Key: "Networks", To: l.readNetworks}) }},
		{Key: "Mounts", To: plain.List(&l.Mounts, docker.ReadMount)},
	}...)
}

func readPort(r *plain.Reader, p *listedPort) {
	r.Object([]plain.Field{
		{Key: "IP", To: &p.IP}, {Key: "PrivatePort", To: &p.PrivatePort}, {Key: "PublicPort", To: &p.PublicPort}, {Key: "Type", To: &p.Type},
	}...)
}

func (l *listed) readNetworks(r *plain.Reader) {
	l.NetworkSettings.Networks = map[string]*listedNetwork{}
	r.Entries(func(name string) { l.NetworkSettings.Networks[name] = readNetwork(r) })
}

// readNetwork returns nil for null.
func readNetwork(r *plain.Reader) *listedNetwork {
	if r.Null() {
		return nil
	}
	var n listedNetwork
	r.Object(plain.Field{Key: "NetworkID", To: &n.NetworkID})
	return &n
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

func summary(s *listed) Summary {
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
