// Package engine asks a Docker engine over its API, and never waits for it: each
// call has its own deadline, and what an answer may weigh is bounded.
//
// An engine's answer is a claim. Whether it is true is for the caller to verify;
// how a container is entered does not belong here either.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
	"golang.org/x/sys/unix"
)

// ErrNotFound says that the engine answered that it has no such container.
var ErrNotFound = errors.New("no such container")

// ErrRefused is in an Error if the engine did answer, but with an error: it
// failed (500), or it does not like the request (400).
var ErrRefused = errors.New("the engine refuses")

// Error says that the engine gave no answer that is of use. errors.Is finds
// context.DeadlineExceeded, fs.ErrPermission, fs.ErrNotExist,
// syscall.ECONNREFUSED, ErrRefused in it.
type Error struct {
	Host string // unix:///var/run/docker.sock
	Op   string // "list containers", "inspect web"
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s at %s: %v", e.Op, e.Host, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Client asks one engine.
type Client struct {
	address Address
	timeout time.Duration // of each call
	api     *client.Client
	base    string // of URLs; who is dialled does not depend on it
	peers   *peers
	place   *place
}

// ErrElsewhere says that the engine is reached by ssh: dx enters only containers of the
// host that it runs on, and asks no other.
var ErrElsewhere = errors.New("it is on another host, which dx does not ask")

// New prepares a client; nothing is sent yet. For an address of ssh each call fails with
// ErrElsewhere.
func New(address Address, timeout time.Duration) (*Client, error) {
	if strings.HasPrefix(address.Host, "ssh://") {
		return &Client{address: address, peers: &peers{}, place: &place{}}, nil
	}
	scheme := "http"
	if address.TLS != nil {
		scheme = "https"
	}
	who, where := &peers{}, &place{}
	api, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{
			Transport:     &http.Transport{TLSClientConfig: address.TLS, MaxResponseHeaderBytes: maxHeader},
			CheckRedirect: client.CheckRedirect,
		}),
		client.WithHost(address.Host),
		client.WithScheme(scheme),
		client.WithDialContext(dialer(address.Host, timeout, who, where)),
		client.WithVersion(os.Getenv("DOCKER_API_VERSION")),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil {
		return nil, &Error{Host: address.Host, Op: "connect", Err: err}
	}
	return &Client{
		address: address, timeout: timeout, api: api, base: scheme + "://" + authority(address.Host),
		peers: who, place: where,
	}, nil
}

// Host is the engine's address.
func (c *Client) Host() string { return c.address.Host }

// Timeout is how long each call may take.
func (c *Client) Timeout() time.Duration { return c.timeout }

// Close drops idle connections.
func (c *Client) Close() error {
	if c.api == nil {
		return nil
	}
	return errors.Join(c.api.Close(), c.peers.close())
}

// Ping returns nil if the engine answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.call(ctx, "ping", func(ctx context.Context) error {
		_, err := c.api.Ping(ctx)
		return err
	})
}

// Versions are what an engine is made of, "28.5.2"; empty: not known.
type Versions struct{ Engine, Containerd, Runc string }

// Versions asks for the engine's versions.
func (c *Client) Versions(ctx context.Context) (Versions, error) {
	var out Versions
	err := c.call(ctx, "ask version", func(ctx context.Context) error {
		answer, err := c.getAll(ctx, "/version", maxVersion)
		if err != nil {
			return err
		}
		var v struct {
			Version    string
			Components []struct{ Name, Version string }
		}
		err = json.Unmarshal(answer, &v)
		out.Engine = v.Version
		for _, component := range v.Components {
			switch component.Name {
			case "containerd":
				out.Containerd = component.Version
			case "runc":
				out.Runc = component.Version
			}
		}
		return err
	})
	return out, err
}

// call runs one request under its own deadline and names what failed.
func (c *Client) call(ctx context.Context, op string, f func(context.Context) error) error {
	if c.api == nil {
		return &Error{Host: c.Host(), Op: op, Err: ErrElsewhere}
	}
	var dialErr dialError
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, dialErrorKey{}, &dialErr), c.timeout)
	defer cancel()
	err := f(ctx)
	switch {
	case err == nil:
		return nil
	case errdefs.IsNotFound(err), errors.Is(err, ErrNotFound):
		return fmt.Errorf("%s at %s: %w", op, c.Host(), ErrNotFound)
	case errdefs.IsInvalidArgument(err), errdefs.IsInternal(err):
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	case unending(err):
	case ctx.Err() != nil:
		err = context.Cause(ctx) // why the caller does not wait any longer
	case dialErr.get() != nil:
		// The client replaces dial errors by a text of its own.
		err = dialErr.get()
	}
	return &Error{Host: c.Host(), Op: op, Err: err}
}

// network splits an address for net.Dial.
func network(host string) (network, addr string) {
	network, addr, _ = strings.Cut(host, "://")
	if network == "tcp" {
		addr, _, _ = strings.Cut(addr, "/")
	}
	return network, addr
}

// authority is what a URL calls the engine: for TLS the name that its certificate has.
func authority(host string) string {
	if _, addr, ok := strings.Cut(host, "://"); ok && strings.HasPrefix(host, "tcp://") {
		return strings.TrimSuffix(addr, "/")
	}
	return client.DummyHost
}

func dialer(host string, timeout time.Duration, who *peers, where *place) func(context.Context, string, string) (net.Conn, error) {
	// The transport dials apart from the request's context, so that a dial that
	// is slow for one serves another: it needs a deadline of its own.
	d := &net.Dialer{Timeout: timeout}
	network, addr := network(host)
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		dial := func(address string) (net.Conn, error) { return d.DialContext(ctx, network, address) }
		var conn net.Conn
		var file *unix.Stat_t
		var err error
		if network == "unix" {
			conn, file, err = where.dial(addr, dial)
		} else {
			conn, err = dial(addr)
		}
		if err != nil {
			if e, ok := ctx.Value(dialErrorKey{}).(*dialError); ok {
				e.set(err)
			}
			return nil, err
		}
		who.note(conn, addr, file)
		return conn, nil
	}
}
