package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

var nsTypes = []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}

// nsLine is what a line of `dx ns --format json` is documented to be.
type nsLine struct {
	ID, Name   string
	Pid        int
	Source     string
	Engine     string
	Namespaces []struct {
		Type      string
		Inode     uint64
		Device    uint64
		HostInode uint64
		Shared    bool

		SharedWith []string
		Differs    bool
	}
	Inside []struct {
		Pid        int
		Command    string
		Namespaces []struct {
			Type          string
			Inode, Device uint64
			Shared        bool
		}
	}
}

// dxNs runs dx ns --format json and decodes strictly: an unknown field is an error.
func dxNs(t *testing.T, e *engine.Engine, refs ...string) []nsLine {
	t.Helper()
	r := e.Dx(t, append([]string{"ns", "--format", "json"}, refs...)...)
	if r.Code != 0 {
		t.Fatalf("dx ns %q: %+v", refs, r)
	}
	var out []nsLine
	for _, line := range strings.Split(strings.TrimSpace(r.Stdout), "\n") {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		var l nsLine
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("dx ns %q: %v in %s", refs, err, line)
		}
		out = append(out, l)
	}
	return out
}

// kernelInode is what readlink says: "net:[4026531840]".
func kernelInode(t *testing.T, pid int, kind string) uint64 {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if pid == 1 && errors.Is(err, fs.ErrPermission) {
		// An init with more capabilities than root has here. Kernel threads are
		// in the initial namespaces as well.
		link, err = os.Readlink("/proc/2/ns/" + kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	digits := regexp.MustCompile(`\[(\d+)\]`).FindStringSubmatch(link)
	n, err := strconv.ParseUint(digits[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (l nsLine) mustBe(t *testing.T, c engine.Container) {
	t.Helper()
	if l.ID != c.ID || l.Name != c.Name || l.Pid != c.PID {
		t.Errorf("%s %s %d, want %s %s %d", l.ID, l.Name, l.Pid, c.ID, c.Name, c.PID)
	}
	var types []string
	for _, ns := range l.Namespaces {
		types = append(types, ns.Type)
		own, host := kernelInode(t, c.PID, ns.Type), kernelInode(t, 1, ns.Type)
		if ns.Inode != own || ns.HostInode != host || ns.Shared != (own == host) || ns.Device == 0 {
			t.Errorf("%s: %+v, but the kernel has %d and %d for the host", ns.Type, ns, own, host)
		}
	}
	if !slices.Equal(types, nsTypes) {
		t.Errorf("kinds %v, want %v", types, nsTypes)
	}
}

func TestNsSaysWhatTheKernelSays(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, flags := range [][]string{
			nil, {"--pid", "host"}, {"--network", "host"}, {"--ipc", "host"}, {"--uts", "host"},
			{"--cgroupns", "private"}, {"--cgroupns", "host"},
		} {
			c := e.Run(t, engine.Busybox, flags...)
			for _, ref := range []string{c.Name, "/" + c.Name, c.ID, c.ID[:12]} {
				lines := dxNs(t, e, ref)
				if len(lines) != 1 {
					t.Fatalf("dx ns %s gives %d lines", ref, len(lines))
				}
				lines[0].mustBe(t, c)
			}
		}
	})
}

func TestNsOfAPid(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	line := dxNs(t, e, fmt.Sprintf("pid:%d", c.PID))[0]
	line.mustBe(t, engine.Container{Name: fmt.Sprintf("pid:%d", c.PID), PID: c.PID})
	host := dxNs(t, e, "host")[0]
	host.mustBe(t, engine.Container{Name: "host", PID: 1})
}

// TestNsSaysWhatLsnsSays compares with util-linux.
func TestNsSaysWhatLsnsSays(t *testing.T) {
	engine.Require(t, engine.Lsns)
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	r := e.Do(t, engine.Command{Args: []string{"lsns", "-J", "-o", "NS,TYPE", "-p", strconv.Itoa(c.PID)}})
	var lsns struct {
		Namespaces []struct {
			NS   uint64
			Type string
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &lsns); err != nil || len(lsns.Namespaces) < 7 {
		t.Fatalf("lsns: %v in %+v", err, r)
	}
	ours := map[string]uint64{}
	for _, ns := range dxNs(t, e, c.Name)[0].Namespaces {
		ours[ns.Type] = ns.Inode
	}
	for _, ns := range lsns.Namespaces {
		if ours[ns.Type] != ns.NS {
			t.Errorf("%s: dx %d, lsns %d", ns.Type, ours[ns.Type], ns.NS)
		}
	}
}

func TestNsOfAll(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	a, b := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox, "--network", "host")
	e.Create(t, engine.Busybox)
	lines := dxNs(t, e)
	slices.SortFunc(lines[1:], func(x, y nsLine) int { return strings.Compare(x.Name, y.Name) })
	if len(lines) != 3 || lines[0].Name != "host" {
		t.Fatalf("not the host and two running containers: %+v", lines)
	}
	lines[1].mustBe(t, a)
	lines[2].mustBe(t, b)

	table := e.Dx(t, "ns").Stdout
	for _, want := range []string{"host", a.Name, b.Name} {
		if !strings.Contains(table, want) {
			t.Errorf("the table has no %s:\n%s", want, table)
		}
	}
	two := dxNs(t, e, b.Name, a.Name)
	if len(two) != 2 || two[0].Name != b.Name || two[1].Name != a.Name {
		t.Errorf("two references give %+v", two)
	}
	if text := e.Dx(t, "ns", a.Name, b.Name).Stdout; strings.Contains(text, "\x1b") {
		t.Errorf("colour without a terminal: %q", text)
	}
}

func TestNsTemplate(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	r := e.Dx(t, "ns", "--format", "{{.Name}} {{.Pid}} {{len .Namespaces}}", c.Name)
	if want := fmt.Sprintf("%s %d 8\n", c.Name, c.PID); r.Stdout != want {
		t.Errorf("%+v, want %q", r, want)
	}
}

func TestNsRefuses(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	for _, ref := range []string{"nosuch", "pid:0", "pid:x", "pid:4194999"} {
		if r := e.Dx(t, "ns", ref); r.Code == 0 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("dx ns %s: %+v", ref, r)
		}
	}
}
