package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"dx/dockerx/host"
	"dx/nsops/proc"
)

// defaultContainerd is where containerd listens if nobody says otherwise.
const defaultContainerd = "/run/containerd/containerd.sock"

// askContainerd finds containerd by the socket that dockerd is connected to, and asks
// it over HTTP/2: linking a gRPC client would cost each start of dx.
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
	defer conn.Close()
	p.containerdAt(conn)
	version, tasks := askContainerd(ctx, conn)
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

// Frames of HTTP/2 (RFC 9113, section 6).
const (
	frameData     = 0
	frameHeaders  = 1
	frameSettings = 4

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
)

// askContainerd makes two calls, of its version and of its tasks. Any answer will
// do, an error too: it is asked whether somebody is there.
func askContainerd(ctx context.Context, conn net.Conn) (version, tasks error) {
	if d, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(d.Add(-grace)) // leaves time to tell
	}
	b := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b = appendFrame(b, frameSettings, 0, 0, nil)
	b = appendCall(b, 1, "/containerd.services.version.v1.Version/Version")
	b = appendCall(b, 3, "/containerd.services.tasks.v1.Tasks/List")
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write: %w", err), nil
	}
	begin := time.Now()
	answered, err := readAnswers(conn, 1, 3)
	if err == nil || answered[1] && answered[3] {
		return nil, nil
	}
	took := time.Since(begin).Round(10 * time.Millisecond)
	if !answered[1] {
		return fmt.Errorf("Version: no answer in %v: %w", took, err), nil
	}
	return nil, fmt.Errorf("Tasks/List: no answer in %v: %w", took, err)
}

// maxFrame bounds what is read of one frame, maxFrames how many are.
const (
	maxFrame  = 1 << 20
	maxFrames = 256
)

// readAnswers reads frames until each stream has had its headers.
func readAnswers(r io.Reader, streams ...uint32) (map[uint32]bool, error) {
	answered := map[uint32]bool{}
	head := make([]byte, 9)
	for range maxFrames {
		if _, err := io.ReadFull(r, head); err != nil {
			return answered, err
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if size > maxFrame {
			return answered, fmt.Errorf("a frame of %d bytes: that is no HTTP/2", size)
		}
		if _, err := io.CopyN(io.Discard, r, size); err != nil {
			return answered, err
		}
		if head[3] == frameHeaders {
			answered[binary.BigEndian.Uint32(head[5:])&0x7fffffff] = true
		}
		all := true
		for _, s := range streams {
			all = all && answered[s]
		}
		if all {
			return answered, nil
		}
	}
	return answered, errors.New("too many frames")
}

func appendFrame(b []byte, kind, flags byte, stream uint32, body []byte) []byte {
	n := len(body)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, body...)
}

// appendCall appends a gRPC call with an empty message. The headers are literals
// without indexing (RFC 7541, 6.2.2): no table, no Huffman code.
func appendCall(b []byte, stream uint32, method string) []byte {
	var h []byte
	for _, kv := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "localhost"},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"containerd-namespace", "moby"},
	} {
		h = append(h, 0, byte(len(kv[0])))
		h = append(h, kv[0]...)
		h = append(h, byte(len(kv[1])))
		h = append(h, kv[1]...)
	}
	b = appendFrame(b, frameHeaders, flagEndHeaders, stream, h)
	return appendFrame(b, frameData, flagEndStream, stream, make([]byte, 5))
}
