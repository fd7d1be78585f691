package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/proc"
)

// defaultContainerd is where containerd listens if nobody says otherwise.
const defaultContainerd = "/run/containerd/containerd.sock"

// askContainerd finds containerd by the socket that dockerd is connected to, and asks it.
func (p *Examination) askContainerd(ctx context.Context) []Finding {
	path := p.containerdSocket()
	if path == "" {
		return []Finding{found(info, "it is not known which containerd this engine has")}
	}
	p.mu.Lock()
	d := p.dockerd
	p.engine.Containerd = path
	p.mu.Unlock()
	conn, err := p.dialIn(d, path)
	if err != nil {
		return p.noContainerd(path, err)
	}
	p.containerdAt(conn)
	conn.Close()
	p.mu.Lock()
	who := p.containerd
	p.mu.Unlock()
	var version, tasks error
	_ = p.patiently(ctx, who, p.o.Timeout, func(ctx context.Context) error {
		conn, err := p.dialIn(d, path)
		if err != nil {
			version = err
			return err
		}
		defer conn.Close()
		version, tasks = askContainerd(ctx, conn)
		return errors.Join(version, tasks)
	})
	switch {
	case version != nil:
		return []Finding{found(containerdSilent, "containerd takes connections on %s and does not answer", path).path(path).pid(p.containerdPID()).evidence(version.Error())}
	case tasks != nil:
		return []Finding{found(tasksSilent, "containerd answers, but not about its tasks").path(path).evidence(tasks.Error())}
	}
	return nil
}

func (p *Examination) containerdPID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.engine.ContainerdPID
}

func (p *Examination) noContainerd(path string, err error) []Finding {
	if isPermission(err) {
		return []Finding{found(unchecked, "containerd was not checked: %v", err)}
	}
	if errors.Is(err, unix.EAGAIN) {
		return []Finding{found(containerdSilent, "containerd takes no more connections on %s", path).path(path).evidence(err.Error())}
	}
	if path == defaultContainerd && errors.Is(err, fs.ErrNotExist) {
		// A guess that leads nowhere: this engine has its containerd elsewhere, or
		// what listens for it is no dockerd.
		return []Finding{found(info, "it is not known where containerd listens").path(path)}
	}
	return []Finding{found(containerdAbsent, "no containerd listens on %s", path).path(path).evidence(err.Error())}
}

// containerdAt takes hold of the process at the other end.
func (p *Examination) containerdAt(conn net.Conn) {
	pid := connPID(conn)
	if pid == 0 {
		return
	}
	c, err := proc.Open(pid)
	if err != nil {
		return
	}
	p.keep(c)
	st, _ := c.Stat()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.containerd = c
	p.engine.ContainerdPID, p.engine.ContainerdUnit = pid, unitOf(c)
	p.engine.Supervised = p.dockerd != nil && st.PPID == p.dockerd.PID
}

func (p *Examination) checkContainerd(context.Context) []Finding {
	p.mu.Lock()
	c := p.containerd
	p.mu.Unlock()
	if c == nil {
		return nil
	}
	return checkProcess(c, containerdRole, fmt.Sprintf("containerd (pid %d)", c.PID))
}

// containerdSocket is where dockerd's containerd listens: as the kernel says of
// dockerd's connections; as dockerd was told; as usual. Without a dockerd nobody tells
// which one the engine that was asked had, unless it is the usual one.
func (p *Examination) containerdSocket() string {
	p.mu.Lock()
	d, sockets, s, believed := p.dockerd, p.sockets, p.settings, p.believed
	p.mu.Unlock()
	if d == nil {
		if path, ok := p.socketPath(); ok && sameName(path, "/run/docker.sock") {
			return defaultContainerd
		}
		return ""
	}
	if !believed {
		return ""
	}
	for _, peer := range peersOf(d.PID, sockets) {
		if strings.HasSuffix(peer.Name, "/containerd.sock") {
			return peer.Name
		}
	}
	if s.containerd != "" {
		return strings.TrimPrefix(s.containerd, "unix://")
	}
	own := s.execRoot + "/containerd/containerd.sock"
	if f, err := host.OpenPath(d, own); err == nil {
		f.Close()
		return own
	}
	return defaultContainerd
}

// dialIn connects to a socket by its path as a process sees it.
func (p *Examination) dialIn(from *proc.Process, path string) (net.Conn, error) {
	if from == nil {
		self, err := proc.Self()
		if err != nil {
			return nil, err
		}
		defer self.Close()
		from = self
	}
	f, err := host.OpenPath(from, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return connectFile(f)
}

// askContainerd makes two calls of gRPC, of its version and of its tasks. Any answer
// will do, an error too: it is asked whether somebody is there. gRPC is HTTP/2 without
// TLS, which net/http speaks: its own client would cost each start of dx.
func askContainerd(ctx context.Context, conn net.Conn) (version, tasks error) {
	grpc, err := grpcOver(ctx, conn)
	if err != nil {
		return err, nil
	}
	defer grpc.Close()
	if version = callContainerd(ctx, grpc, "version.v1.Version/Version"); version != nil {
		return version, nil
	}
	return nil, callContainerd(ctx, grpc, "tasks.v1.Tasks/List")
}

// maxGRPCHeader bounds the headers of an answer. Its body is not read.
const maxGRPCHeader = 64 << 10

// grpcOver speaks HTTP/2 over one connection, and makes no other. A Transport's own pool
// would not do: what it has dialled is there for a second request only a moment after the
// first one, which may by then be answered.
func grpcOver(ctx context.Context, conn net.Conn) (*http.ClientConn, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols, MaxResponseHeaderBytes: maxGRPCHeader,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	return transport.NewClientConn(ctx, "http", "localhost:80")
}

// noMessage is an empty message of gRPC: a flag, and a length (gRPC over HTTP2,
// PROTOCOL-HTTP2.md).
var noMessage = make([]byte, 5)

func callContainerd(ctx context.Context, grpc *http.ClientConn, method string) error {
	begin := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/containerd.services."+method, bytes.NewReader(noMessage))
	if err != nil {
		return err
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Containerd-Namespace": {"moby"}}
	resp, err := grpc.RoundTrip(req)
	if err != nil {
		_, name, _ := strings.Cut(method, ".v1.")
		return fmt.Errorf("%s: no answer in %v: %w", name, time.Since(begin).Round(10*time.Millisecond), err)
	}
	return resp.Body.Close()
}
