package draw

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/cmpdiff"
	"dx/nsops"
	"dx/nsops/escape"
)

var update = flag.Bool("update", false, "write the golden files")

// joined is a subject with namespaces of its own; those given are namespace n, and
// n = 1 is the host's.
func joined(name string, joins map[nsops.Type]uint64) cmpdiff.Subject {
	set := nsops.Set{Own: map[nsops.Type]nsops.ID{}}
	for i, t := range nsops.Types {
		set.Own[t] = nsops.ID{Device: 4, Inode: 4026532000 + uint64(i)}
		if name != "host" {
			set.Own[t] = nsops.ID{Device: 5, Inode: 4026533000 + 8*uint64(len(made)) + uint64(i)}
		}
		if t == nsops.Time || t == nsops.User {
			set.Own[t] = nsops.ID{Device: 4, Inode: 4026532000 + uint64(i)}
		}
		switch n := joins[t]; n {
		case 0:
		case 1:
			set.Own[t] = nsops.ID{Device: 4, Inode: 4026532000 + uint64(i)}
		default:
			set.Own[t] = nsops.ID{Device: 4, Inode: 4026534000 + n}
		}
	}
	s := cmpdiff.Subject{Name: name, Namespaces: set}
	made = append(made, s)
	return s
}

var made []cmpdiff.Subject // so that own namespaces differ

type joins = map[nsops.Type]uint64

// evil is a name with what means something in one of the formats.
const evil = "</text><script>document.title='pwned'</script>\"'`&lt;#35;\\N\\\" -->]]>\x1b[2J\u202eevil\x00\xff;%%{init}%%"

func picture(subjects ...cmpdiff.Subject) Picture {
	p := Picture{Map: cmpdiff.Compare(joined("host", nil), subjects...).Map()}
	for i := range subjects {
		p.Boxes = append(p.Boxes, Box{ID: fmt.Sprintf("%012x", 0x8e0582982200+i), PID: 4711 + i, Image: "busybox:latest"})
	}
	return p
}

func many(n int) Picture {
	var list []cmpdiff.Subject
	for i := range n {
		list = append(list, joined(fmt.Sprintf("project-service-%d", i), map[int]joins{
			3: {nsops.Net: 10}, 4: {nsops.Net: 10}, 5: {nsops.Net: 10, nsops.PID: 12}, 9: {nsops.PID: 12},
			12: {nsops.Net: 1}, 13: {nsops.Net: 1, nsops.PID: 1}, 20: {nsops.IPC: 14}, 21: {nsops.IPC: 14},
		}[i]))
	}
	return picture(list...)
}

var pictures = map[string]Picture{
	"none": picture(),
	"one":  picture(joined("web", nil)),
	"several": picture(
		joined("web", joins{nsops.Net: 7, nsops.IPC: 8, nsops.UTS: 9, nsops.PID: 10}),
		joined("log", joins{nsops.Net: 7, nsops.IPC: 8, nsops.UTS: 9, nsops.PID: 10}),
		joined("proxy", joins{nsops.Net: 7, nsops.IPC: 8, nsops.UTS: 9}),
		joined("db", nil),
		joined("debugger", joins{nsops.PID: 11}),
		joined("app", joins{nsops.PID: 11, nsops.Net: 12}),
		joined("sidecar", joins{nsops.Net: 12}),
		joined("node-exporter", joins{nsops.Net: 1, nsops.PID: 1}),
		cmpdiff.Subject{Name: "hidden"}),
	"hostile": picture(joined(evil, joins{nsops.Net: 7, nsops.PID: 1}), joined(strings.Repeat("long-name-", 20), joins{nsops.Net: 7, nsops.PID: 8}),
		joined("שרת-ווב مرحبا", joins{nsops.PID: 8}), joined("家"+strings.Repeat("🐳漢字", 30), nil), joined("", nil)),
	"folded": folded(),
	"pods":   pods(),
	"eight":  eight(),
	"forty":  forty(),
	"fifty":  many(50),
}

// eight is a web application, and what watches it.
func eight() Picture {
	p := picture(
		joined("api", nil), joined("backup", nil), joined("cache", nil), joined("db", nil),
		joined("debug", joins{nsops.PID: 21, nsops.Net: 20}), joined("node-exporter", joins{nsops.Net: 1, nsops.PID: 1}),
		joined("proxy", joins{nsops.Net: 20}), joined("worker", joins{nsops.PID: 21}))
	for i, b := range []Box{
		{Image: "registry.example.org/shop/api:2.14.1", Networks: []string{"shop_back", "shop_front"}, Ports: []string{"127.0.0.1:8080→80"}},
		{Image: "restic", Networks: []string{"bridge"}, Volumes: []string{"shop_db", "/srv/backup"}, State: "paused"},
		{Image: "redis:7", Networks: []string{"shop_back"}},
		{Image: "postgres:16", Networks: []string{"shop_back"}, Volumes: []string{"shop_db"}},
		{Image: "nicolaka/netshoot"},
		{Image: "prom/node-exporter:v1.8", Networks: []string{"host"}, Volumes: []string{"/", "/sys", "/var/run/docker.sock"}},
		{Image: "traefik:3", Networks: []string{"shop_front"}, Ports: []string{"80→80", "443→443"}, Volumes: []string{"/var/run/docker.sock"}},
		{Image: "registry.example.org/shop/api:2.14.1", Networks: []string{"shop_back"}},
	} {
		b.ID, b.PID, b.Command = p.Boxes[i].ID, p.Boxes[i].PID, "dx exec -it "+p.Subjects[i]+" sh"
		p.Boxes[i] = b
	}
	p.Origin = "shop1.example.org, 2026-11-26 13:20 UTC"
	return p
}

// folded are six that share nothing, one of them paused, and two that do not run.
func folded() Picture {
	p := picture(joined("a", nil), joined("b", nil), joined("c", joins{nsops.Net: 30}), joined("d", joins{nsops.Net: 30}),
		joined("e", nil), joined("f", nil), joined("g", nil), joined("h", nil))
	p.Boxes[1].State, p.Boxes[4].Ports = "paused", []string{"53→53/udp"}
	p.Boxes[6].Networks, p.Boxes[7].Networks = []string{"bridge"}, []string{"bridge"}
	p.Stopped = []Stopped{
		{"old", Box{ID: "8e0582982299", State: "Exited (137) 3 days ago", Image: "busybox", Volumes: []string{"data"}}},
		{evil, Box{State: evil, Image: evil}},
	}
	p.Origin = "a, 2026-11-26 13:20 UTC"
	return p
}

// pods are two of Kubernetes' with their sandboxes, and one that has the host's network.
func pods() Picture {
	web := joins{nsops.Net: 40, nsops.IPC: 41, nsops.UTS: 42}
	dns := joins{nsops.Net: 43, nsops.IPC: 44, nsops.UTS: 45}
	list := []cmpdiff.Subject{
		joined("k8s:kube-system/coredns-5d78c9869d-7x2kq", dns), joined("k8s:kube-system/coredns-5d78c9869d-7x2kq/coredns", dns),
		joined("k8s:kube-system/kube-proxy-x2z9k/kube-proxy", joins{nsops.Net: 1}),
		joined("k8s:prod/web-6d4cf56db6-x2z9k", web), joined("k8s:prod/web-6d4cf56db6-x2z9k/log", web), joined("k8s:prod/web-6d4cf56db6-x2z9k/web", web),
		joined("tool", joins{nsops.PID: 1}),
	}
	p := picture(list...)
	p.Map = cmpdiff.Compare(joined("host", nil), list...).Map(
		cmpdiff.Family{Name: "pod kube-system/coredns-5d78c9869d-7x2kq", Members: []int{0, 1}},
		cmpdiff.Family{Name: "pod kube-system/kube-proxy-x2z9k", Members: []int{2}},
		cmpdiff.Family{Name: "pod prod/web-6d4cf56db6-x2z9k", Members: []int{3, 4, 5}})
	p.Boxes[0].Frame, p.Boxes[3].Frame = true, true
	for i, name := range map[int]string{1: "coredns", 2: "kube-proxy", 4: "log", 5: "web"} {
		p.Boxes[i].Label = name
	}
	return p
}

// forty is a host of five projects, with pods of sidecars, links and hosts' namespaces.
func forty() Picture {
	var list []cmpdiff.Subject
	for i := range 40 {
		list = append(list, joined(fmt.Sprintf("%s-%s-1", []string{"shop", "wiki", "mail", "ci", "metrics"}[i%5], []string{"web", "db", "cache", "worker", "proxy", "cron", "api", "log"}[i/5]), map[int]joins{
			0: {nsops.Net: 50}, 20: {nsops.Net: 50}, 25: {nsops.Net: 50, nsops.PID: 51}, 1: {nsops.PID: 51}, 6: {nsops.PID: 51, nsops.IPC: 52}, 11: {nsops.IPC: 52},
			4: {nsops.Net: 1, nsops.PID: 1}, 9: {nsops.Net: 1}, 16: {nsops.IPC: 53, nsops.UTS: 54}, 21: {nsops.IPC: 53, nsops.UTS: 54}, 26: {nsops.IPC: 53}, 36: {nsops.UTS: 54},
		}[i]))
	}
	p := picture(list...)
	for i := range p.Boxes {
		project := []string{"shop", "wiki", "mail", "ci", "metrics"}[i%5]
		switch i % 5 {
		case 0, 1:
			p.Boxes[i].Networks = []string{project + "_default"}
		default:
			p.Boxes[i].Networks = []string{"bridge"}
		}
		if i/5 == 0 {
			p.Boxes[i].Ports = []string{fmt.Sprintf("%d→80", 8000+i), fmt.Sprintf("%d→443", 8443+i)}
		}
		if i/5 == 1 {
			p.Boxes[i].Volumes = []string{project + "_data"}
		}
	}
	p.Boxes[10].State = "paused"
	p.Origin = "shop1.example.org, 2026-11-26 13:20 UTC"
	return p
}

// formats are all, by the suffix of their files.
var formats = map[string]func(Picture) string{"svg": SVG, "html": HTML, "dot": DOT, "mmd": Mermaid, "txt": Text}

// The golden files are looked at when they are made: golden pictures are no other
// program's, but a change that nobody meant shows.
func TestGolden(t *testing.T) {
	for _, name := range []string{"none", "one", "several", "hostile", "folded", "pods", "eight"} {
		for _, format := range []string{"dot", "mmd", "svg", "txt"} {
			path := filepath.Join("testdata", name+"."+format)
			got := formats[format](pictures[name])
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
	}
}

// TestLook writes all pictures to the directory DX_PICTURES, to be looked at.
func TestLook(t *testing.T) {
	dir := os.Getenv("DX_PICTURES")
	if dir == "" {
		t.Skip("DX_PICTURES names no directory")
	}
	for name, p := range pictures {
		for format, draw := range formats {
			if err := os.WriteFile(filepath.Join(dir, name+"."+format), []byte(draw(p)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Each line of a tree is one line, whatever names hold.
func TestTextIsLines(t *testing.T) {
	for name, p := range pictures {
		for line := range strings.Lines(Text(p)) {
			if line = strings.TrimSuffix(line, "\n"); escape.Line(line) != line {
				t.Errorf("%s: %q is not visible", name, line)
			}
		}
		for i := range p.Subjects {
			if !p.Boxes[i].Frame && !strings.Contains(Text(p), shorten(newPlan(&p).heads(i), labelRunes)) {
				t.Errorf("%s lacks %s", name, p.Subjects[i])
			}
		}
	}
}

func TestSVGIsXML(t *testing.T) {
	for name, p := range pictures {
		dec := xml.NewDecoder(strings.NewReader(SVG(p)))
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, ok := tok.(xml.StartElement); ok && strings.EqualFold(e.Name.Local, "script") {
				t.Errorf("%s has a script", name)
			}
		}
	}
}

// Boxes do not overlap, and lie within the regions that they are in.
func TestLayout(t *testing.T) {
	for name, p := range pictures {
		areas, w, h := newPlan(&p).whole()
		mustFit(t, name, area{rect: rect{w: w, h: h}, within: areas})
	}
}

func mustFit(t *testing.T, name string, outer area) {
	t.Helper()
	for i, a := range outer.within {
		if a.x < outer.x || a.y < outer.y || a.x+a.w > outer.x+outer.w || a.y+a.h > outer.y+outer.h {
			t.Errorf("%s: %+v is not within %+v", name, a, outer)
		}
		for _, b := range outer.within[:i] {
			if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
				t.Errorf("%s: %+v and %+v overlap", name, a, b)
			}
		}
		mustFit(t, name, a)
	}
}
