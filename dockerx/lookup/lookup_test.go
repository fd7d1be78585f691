package lookup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/nsops/network"
	"dx/nsops/proc"
)

func meaning(q Query) string {
	switch q.Kind {
	case PID:
		return fmt.Sprint("pid ", q.PID)
	case Inode:
		return strings.TrimSpace(fmt.Sprint("inode ", q.Inode, " ", q.Type))
	case IP:
		return "ip " + q.Addr.String()
	case Socket:
		return fmt.Sprint("socket ", q.Inode)
	case Port:
		return strings.TrimSpace(fmt.Sprint("port ", q.Port, " ", q.Proto))
	}
	return string(q.Kind) + " " + q.Name
}

func TestParse(t *testing.T) {
	for arg, want := range map[string]string{
		"4711": "pid 4711, port 4711", "471100": "pid 471100", "pid:4711": "pid 4711", "4026532250": "inode 4026532250",
		"inode:5": "inode 5", "net:[4026532250]": "inode 4026532250 net", "pid:[4026532250]": "inode 4026532250 pid",
		"10.0.0.2": "ip 10.0.0.2", "ip:10.0.0.2/24": "ip 10.0.0.2", "10.0.0.2/24": "ip 10.0.0.2", "::1": "ip ::1",
		"fe80::1%eth0": "ip fe80::1", "::ffff:10.0.0.2": "ip 10.0.0.2",
		"127.0.0.1:8080": "port 8080", "[::]:80": "port 80", "veth12ab@if7": "interface veth12ab", "veth12ab@x": "interface veth12ab@x, path veth12ab@x",
		":8080": "port 8080", "tcp:8080": "port 8080 tcp", "udp:53": "port 53 udp", "8080/tcp": "port 8080 tcp", "port:8080": "port 8080", "port:53/udp": "port 53 udp",
		"veth12ab": "interface veth12ab, path veth12ab", "if:eth0": "interface eth0", "br-0123456789ab": "interface br-0123456789ab, path br-0123456789ab",
		"averylonginterfacename": "path averylonginterfacename",
		"/docker/x":              "path /docker/x, cgroup /docker/x", "cgroup:/docker/x": "cgroup /docker/x",
		"4:memory:/docker/x": "cgroup /docker/x", "0::/docker/x": "cgroup /docker/x", "1:name=systemd:/x": "cgroup /x",
		"./x": "path ./x", "path:web": "path web", ".": "path .",
		"/proc/12/root/data": "path /proc/12/root/data, pid 12", "/proc/12": "path /proc/12, pid 12",
		"eth0:1": "interface eth0:1, path eth0:1", "socket:[34912]": "socket 34912", "socket:34912": "socket 34912",
	} {
		queries, err := Parse(arg)
		var got []string
		for _, q := range queries {
			got = append(got, meaning(q))
		}
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("%s: %v %v, want %s", arg, got, err, want)
		}
	}
	for _, bad := range []string{"", "pid:", "pid:0", "pid:x", "inode:-1", "ip:web", "ip:10.0.0.2/99", "port:0", "socket:0", "socket:[x]", "socket:[1", "socket:", "tcp:99999", ":", "if:", "path:"} {
		if q, err := Parse(bad); err == nil {
			t.Errorf("%q is %v", bad, q)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"4711", "net:[1]", "10.0.0.2/24", ":80", "0::/x", "/proc/1/ns", "veth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := Parse(s)
		if (err == nil) != (len(q) > 0) {
			t.Errorf("%q is parsed as %v, %v, want either questions or an error", s, q, err)
		}
	})
}

// TestLinkedTo: the index alone is not enough, another namespace counts the same.
func TestLinkedTo(t *testing.T) {
	host := &network.Network{Interfaces: []network.Interface{
		{Index: 4, Name: "br0", Kind: "bridge", LowerNS: network.NoNS}, {Index: 7, Name: "veth7", Kind: "veth", Master: 4, Lower: 2, LowerNS: 0},
	}}
	c := &dockerx.Container{}
	inner := func(l network.Interface) *network.Network {
		return &network.Network{Caller: 3, Interfaces: []network.Interface{l}}
	}
	for _, test := range []struct {
		name string
		n    *network.Network
		arg  string
		want string
	}{
		{"peer", inner(network.Interface{Index: 2, Name: "eth0", Kind: "veth", Lower: 7, LowerNS: 3}), "veth7", "eth0 in its net namespace is peer of veth7 (ifindex 7)"},
		{"bridge", inner(network.Interface{Index: 2, Name: "eth0", Kind: "veth", Lower: 7, LowerNS: 3}), "br0", "eth0 in its net namespace is peer of veth7 (ifindex 7) on br0"},
		{"macvlan", inner(network.Interface{Index: 2, Name: "eth0", Kind: "macvlan", Lower: 4, LowerNS: 3}), "br0", "eth0 in its net namespace (macvlan) is on br0 (ifindex 4)"},
		{"another namespace's", inner(network.Interface{Index: 2, Name: "eth0", Kind: "veth", Lower: 7, LowerNS: 1}), "veth7", ""},
		{"its own", inner(network.Interface{Index: 2, Name: "eth0", Kind: "vlan", Lower: 7, LowerNS: network.NoNS}), "veth7", ""},
	} {
		var got string
		for _, h := range linkedTo(c, test.n, host, endsOf(host.Interfaces, test.arg), test.arg) {
			got += h.Evidence
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestUnknownSaysWhatWasTried(t *testing.T) {
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	like := New([]*dockerx.Container{{Ref: "self", Name: "self", Process: self}})
	_, err = like.Find("dxnosuch0")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "no interface is called dxnosuch0") || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	if _, err := New(nil).Find(fmt.Sprint(os.Getpid())); err == nil || !strings.HasSuffix(err.Error(), "no container runs") {
		t.Error(err)
	}
}

// TestStopped: what a container that does not run has on the host, and what it has not.
func TestStopped(t *testing.T) {
	id := strings.Repeat("ab", 32)
	kept := Kept{
		List: []dockerx.Listed{
			{ID: strings.Repeat("cd", 32), Name: "runs", PID: 7, Mounts: []docker.Mount{{Source: "/srv/data", Destination: "/data"}}},
			{ID: id, Name: "old", State: "exited", Mounts: []docker.Mount{
				{Source: "/srv/data", Destination: "/data"}, {Name: "vol", Destination: "/vol"}, {Destination: "/tmpfs"},
			}},
		},
		LayerOf: func(path string) string {
			if strings.HasPrefix(path, "/d/overlay2/x/") {
				return id
			}
			return ""
		},
	}
	f := New(nil)
	f.AskOfStopped(func() Kept { return kept })
	for path, want := range map[string]string{
		"/srv/data/file":             "it has that mounted at /data when it runs; it does not run (exited)",
		"/d/volumes/vol/_data":       "it has that mounted at /vol when it runs; it does not run (exited)",
		"/d/overlay2/x/diff/etc":     "the layer that it writes to; it does not run (exited)",
		"/d/containers/" + id + "/x": "its ID is in the path; it does not run (exited)",
		"/srv/database":              "", "/": "", "/d/volumes/vol2/_data": "",
	} {
		var got []string
		for _, h := range f.stopped([]string{path}) {
			got = append(got, h.Container.Name+": "+h.Evidence)
		}
		if want != "" {
			want = "old: " + want
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
