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
	"fifty": many(50),
}

// formats are all, by the suffix of their files.
var formats = map[string]func(Picture) string{"svg": SVG, "html": HTML, "dot": DOT, "mmd": Mermaid}

// The golden files are looked at when they are made: golden pictures are no other
// program's, but a change that nobody meant shows.
func TestGolden(t *testing.T) {
	for _, name := range []string{"none", "one", "several", "hostile"} {
		for _, format := range []string{"dot", "mmd", "svg"} {
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

// TestLook writes all pictures to the folder DX_PICTURES, to be looked at.
func TestLook(t *testing.T) {
	dir := os.Getenv("DX_PICTURES")
	if dir == "" {
		t.Skip("DX_PICTURES names no folder")
	}
	for name, p := range pictures {
		for format, draw := range formats {
			if err := os.WriteFile(filepath.Join(dir, name+"."+format), []byte(draw(p)), 0o644); err != nil {
				t.Fatal(err)
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
		areas, w, h := layOut(p.Regions, p.Outside, screen)
		mustFit(t, name, area{w: w, h: h, within: areas})
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
