package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/e2e/engine"
)

// TestInspectNetwork compares with what ip and ss, run by nsenter, say.
func TestInspectNetwork(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	none, host := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox, "--network", "host")
	in := func(args ...string) string {
		return run(t, e, append([]string{"nsenter", "-t", strconv.Itoa(none.PID), "-n"}, args...)...)
	}
	in("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	in("ip", "addr", "add", "10.77.0.2/24", "dev", "v0")
	in("ip", "-6", "addr", "add", "fd77::2/64", "dev", "v0", "nodad")
	in("ip", "link", "set", "v0", "up")
	in("ip", "link", "set", "v1", "up")
	in("ip", "route", "add", "default", "via", "10.77.0.1", "metric", "7")
	in("ip", "route", "add", "blackhole", "10.99.0.0/16")
	e.MustDocker(t, "exec", "-d", none.Name, "nc", "-l", "-p", "8080")
	e.MustDocker(t, "exec", none.Name, "sh", "-c", "until netstat -ltn | grep -q :8080; do sleep 0.1; done")
	for _, c := range []engine.Container{none, host} {
		dxInspect(t, e, c.Name).networkIs(t, e, c.PID)
	}
	l := dxInspect(t, e, none.Name)
	if len(l.Network.Interfaces) != 3 || !slices.ContainsFunc(l.Network.Ports, func(p struct{ Protocol, Address string }) bool { return strings.HasSuffix(p.Address, ":8080") }) {
		t.Errorf("network %+v, want three interfaces and a listener on port 8080", l.Network)
	}
}

func (l inspectLine) networkIs(t *testing.T, e *engine.Engine, pid int) {
	t.Helper()
	nsenter := []string{"nsenter", "-t", strconv.Itoa(pid), "-n"}
	ip := func(to any, args ...string) {
		if err := json.Unmarshal([]byte(run(t, e, slices.Concat(nsenter, []string{"ip", "-j"}, args)...)), to); err != nil {
			t.Fatalf("ip -j %q: %v", args, err)
		}
	}
	var links []struct {
		Ifindex, MTU    int
		Ifname, Address string
		AddrInfo        []struct {
			Local     string
			Prefixlen int
		} `json:"addr_info"`
	}
	ip(&links, "addr")
	var want, got []string
	for _, i := range links {
		if strings.Trim(i.Address, "0:") == "" {
			i.Address = ""
		}
		var addresses []string
		for _, a := range i.AddrInfo {
			addresses = append(addresses, fmt.Sprintf("%s/%d", a.Local, a.Prefixlen))
		}
		want = append(want, fmt.Sprintln(i.Ifindex, i.Ifname, i.MTU, i.Address, addresses))
	}
	for _, i := range l.Network.Interfaces {
		if strings.Trim(i.MAC, "0:") == "" {
			i.MAC = ""
		}
		got = append(got, fmt.Sprintln(i.Index, i.Name, i.MTU, i.MAC, i.Addresses))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ip addr: %s", diff)
	}
	want, got = nil, nil
	for _, family := range []string{"-4", "-6"} {
		var routes []struct {
			Dst, Gateway, Dev string
			Metric            int
		}
		ip(&routes, family, "route")
		for _, r := range routes {
			want = append(want, fmt.Sprintln(withBits(r.Dst), r.Gateway, r.Dev, r.Metric))
		}
	}
	for _, r := range l.Network.Routes {
		got = append(got, fmt.Sprintln(withBits(r.Destination), r.Gateway, r.Interface, r.Metric))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ip route: %s", diff)
	}
	l.listens(t, run(t, e, slices.Concat(nsenter, []string{"ss", "-Hltn"})...))
}

// withBits: ip leaves /32 and /128 out.
func withBits(dst string) string {
	if a, err := netip.ParseAddr(dst); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return dst
}

// listens compares the ports: the host's may change meanwhile, those of a container
// that does nothing do not.
func (l inspectLine) listens(t *testing.T, ss string) {
	t.Helper()
	var want, got []string
	for _, line := range lines(ss) {
		f := strings.Fields(line)
		want = append(want, f[3][strings.LastIndexByte(f[3], ':')+1:])
	}
	for _, p := range l.Network.Ports {
		if strings.HasPrefix(p.Protocol, "tcp") {
			got = append(got, p.Address[strings.LastIndexByte(p.Address, ':')+1:])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(l.Network.Interfaces) == 3 && !slices.Equal(want, got) {
		t.Errorf("open ports %v, ss %v", got, want)
	}
}
