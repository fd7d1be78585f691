package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/cgroup"
	"dx/nsops/proc"
	"dx/nsops/unixdiag"
)

// Engines beside the one that was asked: containerd by itself (a Kubernetes node, nerdctl),
// CRI-O, the service of Podman's API, and conmon, which keeps the containers of the last two.
// None of them keeps Docker from working, and so the worst that is said of them is that the
// host is degraded. Only root's are looked at: what a plain user runs is his own.

const (
	otherContainerd role = "other-containerd"
	crioRole        role = "cri-o"
	podmanRole      role = "podman-service"
	conmonRole      role = "conmon"
)

// otherRoles are those of processes of other engines.
var otherRoles = []role{otherContainerd, crioRole, podmanRole, conmonRole}

const (
	otherSilent   Kind = "other-containerd-silent"
	criSilent     Kind = "cri-silent" // containerd answers, but not to the kubelet
	crioSilent    Kind = "cri-o-silent"
	podmanSilent  Kind = "podman-service-silent"
	conmonMissing Kind = "conmon-missing"
)

var otherKinds = []Kind{otherSilent, criSilent, crioSilent, podmanSilent, conmonMissing}

// LayerOther is where another engine is stuck.
const LayerOther Layer = "another engine"

const (
	noCRI    = "the kubelet, crictl, ctr and nerdctl wait; containers run on, and dx enters them"
	noConmon = "podman exec works, but what the container prints, its terminal and its end wait: podman logs, attach, wait and stop"
)

// otherEntries are what is known of them.
func otherEntries() map[Kind]entry {
	out := map[Kind]entry{
		otherSilent:  {sure: Likely, means: noCRI, causes: cross(standing, otherContainerd)},
		criSilent:    {sure: Likely, means: "the kubelet and crictl wait; ctr and nerdctl work", causes: cross(standing, otherContainerd)},
		crioSilent:   {sure: Likely, means: noCRI, causes: cross(standing, crioRole)},
		podmanSilent: {sure: Likely, means: "clients of Podman's API wait; the podman command does without it", causes: cross(standing, podmanRole)},

		conmonMissing: {sure: Certain, means: "nobody takes what it prints or notices its end; podman exec and dx enter it"},
	}
	for r, means := range map[role]string{
		otherContainerd: noCRI, crioRole: noCRI, conmonRole: noConmon,
		podmanRole: "clients of Podman's API wait; the podman command does without it",
	} {
		for _, c := range standing {
			out[r.is(c)] = entry{sure: Certain, means: means}
		}
	}
	for k, e := range out {
		e.layer, e.severity = LayerOther, Degraded
		out[k] = e
	}
	return out
}

// isOther reports whether a kind is of an engine that was not asked.
func (k Kind) isOther() bool { return catalogue()[k].layer == LayerOther }

// otherEngine is a daemon that listens.
type otherEngine struct {
	*proc.Process
	role   role
	name   string // "containerd (pid 812)"
	socket string
}

// services are programs, what they are, and the end of the names of their sockets.
var services = map[string]struct {
	role   role
	socket string
}{
	"containerd": {otherContainerd, "/containerd.sock"}, "crio": {crioRole, "/crio.sock"}, "podman": {podmanRole, "/podman.sock"},
}

// findOthers finds the daemons of other engines. One that a dockerd has started, or is connected
// to, is that one's; so is one whose dockerd has ended.
func (p *Examination) findOthers(context.Context) []Finding {
	p.mu.Lock()
	sockets, trust := p.sockets, p.trust
	p.mu.Unlock()
	pids, err := proc.PIDs()
	if err != nil || trust == nil {
		return nil // which findSockets has said
	}
	var dockerds []int
	var found []otherEngine
	for _, pid := range pids {
		exe, err := proc.ReadlinkOf(pid, "exe")
		name := path.Base(strings.TrimSuffix(exe, " (deleted)"))
		if err != nil {
			continue
		}
		if strings.HasPrefix(name, "dockerd") {
			dockerds = append(dockerds, pid)
		}
		s, known := services[name]
		if !known {
			continue
		}
		pr, err := proc.Open(pid)
		if err != nil {
			continue
		}
		socket := listensAt(pid, sockets, s.socket)
		if socket == "" || !trust.Host(pr) || supervised(pr, socket) {
			pr.Close()
			continue
		}
		p.keep(pr)
		found = append(found, otherEngine{pr, s.role, fmt.Sprintf("%s (pid %d)", name, pid), socket})
	}
	found = slices.DeleteFunc(found, func(o otherEngine) bool {
		return slices.ContainsFunc(dockerds, func(d int) bool { return o.ParentPID == d || connected(d, o.PID, sockets) })
	})
	p.mu.Lock()
	p.beside = found
	p.mu.Unlock()
	return nil
}

// listensAt is the socket of that name on which a process listens.
func listensAt(pid int, sockets []unixdiag.Socket, name string) string {
	var own []string
	for _, s := range sockets {
		if !s.Listening || !strings.HasSuffix(s.Name, name) {
			continue
		}
		if own == nil {
			own = links(pid)
		}
		if slices.Contains(own, fmt.Sprintf("socket:[%d]", s.Inode)) {
			return s.Name
		}
	}
	return ""
}

// supervised reports whether a containerd was started by a dockerd, which has written its
// configuration beside its socket (moby, libcontainerd/supervisor).
func supervised(pr *proc.Process, socket string) bool {
	line, _, err := pr.CommandLine(1 << 16)
	return err == nil && flagOf(line, "config") == path.Dir(socket)+"/containerd.toml"
}

// askOthers are the questions to them: whether somebody is there.
func (p *Examination) askOthers() []probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []probe
	for _, o := range p.beside {
		out = append(out, question(o.name, func(ctx context.Context) []Finding { return p.askOther(ctx, o) }))
	}
	return out
}

func (p *Examination) askOther(ctx context.Context, o otherEngine) []Finding {
	if f, ok := standsStill(o.Process, o.role, o.name); ok {
		return []Finding{f.path(cmpPath(f.Path, o.socket))}
	}
	kind := map[role]Kind{otherContainerd: otherSilent, crioRole: crioSilent, podmanRole: podmanSilent}[o.role]
	err := p.patiently(ctx, o.Process, p.o.Timeout, func(ctx context.Context) error {
		conn, err := p.dialIn(o.Process, o.socket)
		if err != nil {
			return err
		}
		defer conn.Close()
		if kind, err = askService(ctx, o.role, conn); kind == "" {
			return nil
		}
		return err
	})
	switch {
	case err == nil || o.Alive() != nil:
		return nil
	case isPermission(err):
		return []Finding{found(unchecked, "%s was not checked: %v", o.name, err)}
	case kind == "":
		return nil
	case errors.Is(err, unix.EAGAIN):
		return []Finding{found(kind, "%s takes no more connections on %s", o.name, o.socket).path(o.socket).pid(o.PID).evidence(err.Error())}
	case kind == criSilent:
		return []Finding{found(kind, "%s answers, but not as CRI on %s", o.name, o.socket).path(o.socket).pid(o.PID).evidence(err.Error())}
	}
	return []Finding{found(kind, "%s takes connections on %s and does not answer", o.name, o.socket).path(o.socket).pid(o.PID).evidence(err.Error())}
}

// cmpPath is a finding's own path, such as that of a freezer, else another.
func cmpPath(own, other string) string {
	if own != "" {
		return own
	}
	return other
}

// askService asks for a version: any answer will do. It returns what is silent; nothing: it
// has answered.
func askService(ctx context.Context, r role, conn net.Conn) (Kind, error) {
	if r == podmanRole {
		return silentUnless(podmanSilent, ping(ctx, conn))
	}
	silent := otherSilent
	if r == crioRole {
		silent = crioSilent
	}
	grpc, err := grpcOver(ctx, conn)
	if err != nil {
		return silent, err
	}
	defer grpc.Close()
	const cri = "runtime.v1.RuntimeService/Version"
	if r == crioRole {
		return silentUnless(silent, callGRPC(ctx, grpc, cri))
	}
	if err := callGRPC(ctx, grpc, "containerd.services.version.v1.Version/Version"); err != nil {
		return silent, err
	}
	return silentUnless(criSilent, callGRPC(ctx, grpc, cri))
}

func silentUnless(k Kind, err error) (Kind, error) {
	if err == nil {
		return "", nil
	}
	return k, err
}

// callGRPC makes a call with no message. That there is no such service is an answer.
func callGRPC(ctx context.Context, grpc *http.ClientConn, method string) error {
	begin := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/"+method, bytes.NewReader(noMessage))
	if err != nil {
		return err
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	resp, err := grpc.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s: no answer in %v: %w", method, time.Since(begin).Round(10*time.Millisecond), err)
	}
	return resp.Body.Close()
}

// ping asks Podman's service as Docker's client would.
func ping(ctx context.Context, conn net.Conn) error {
	if d, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(d); err != nil {
			return err
		}
	}
	if _, err := conn.Write([]byte("GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

// keeper is a conmon, or whose place one has left.
type keeper struct {
	name      string
	id        string
	init, pid int // pid of conmon; 0: it is gone
}

// checkKeepers looks at what keeps containers of root's Podman and CRI-O.
func (p *Examination) checkKeepers(context.Context) []Finding {
	p.mu.Lock()
	keepers := p.keepers
	p.mu.Unlock()
	var out []Finding
	for _, k := range keepers {
		of := container{ID: k.id, Name: k.name}
		if k.pid == 0 {
			out = append(out, found(conmonMissing, "%s runs, and its conmon is gone", k.name).of(of).pid(k.init))
			continue
		}
		pr, err := proc.Open(k.pid)
		if err != nil {
			continue
		}
		if f, ok := standsStill(pr, conmonRole, fmt.Sprintf("conmon of %s (pid %d)", k.name, k.pid)); ok {
			out = append(out, f.of(of))
		}
		pr.Close()
	}
	return out
}

// keepersOf are those of the containers that were found.
func keepersOf(list []container) (out []keeper) {
	for _, c := range list {
		e := c.found.Engine()
		if e.Owner == 0 && (e.Manager == "podman" || e.Manager == "cri-o") {
			out = append(out, keeper{name: c.found.Called(), id: c.ID, init: c.PID, pid: c.found.MonitorPID()})
		}
	}
	return out
}

// standsStill reports a process that does nothing at all, by the kernel's word.
func standsStill(pr *proc.Process, r role, subject string) (Finding, bool) {
	st, err := pr.Stat()
	if err != nil {
		return Finding{}, false
	}
	if freezer, ok := cgroup.FrozenBy(pr); ok {
		return found(r.is(frozen), "%s is frozen", subject).pid(pr.PID).path(freezer).evidence(stateOf(pr, st), freezer), true
	}
	return checkStopped(pr, st, r, subject)
}

// mendOther is what changes something for an engine that was not asked.
func mendOther(f Finding) []Step {
	switch {
	case f.Kind.isOne(stopped, otherRoles...):
		return []Step{goOn(f)}
	case f.Kind.isOne(traced, otherRoles...):
		return []Step{endDebugger(f)}
	case f.Kind.isOne(frozen, otherRoles...):
		return []Step{change("thaw its cgroup", thaw(f.Path))}
	case f.Kind == conmonMissing:
		return []Step{change("end the container by the kernel", fmt.Sprintf("kill %d", f.PID))}
	}
	service := map[Kind]string{otherSilent: "containerd.service", criSilent: "containerd.service", crioSilent: "crio.service", podmanSilent: "podman.service"}[f.Kind]
	return []Step{change("restart it, if it is that service: its containers live on", "systemctl restart "+service)}
}

func endDebugger(f Finding) Step {
	return change("end the debugger, which lets it go on", "kill $(awk '/TracerPid/ && $2 {print $2}' /proc/"+fmt.Sprint(f.PID)+"/status)")
}
