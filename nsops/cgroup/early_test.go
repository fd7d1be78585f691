package cgroup

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEarlyMovesNobody: the kernel lists this process in the cgroup to which a thread of it
// is moved, before and after.
func TestEarlyMovesNobody(t *testing.T) {
	cgroups, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := here.of(cgroups)
	if err != nil {
		t.Fatal(err)
	}
	e := earlyIn(locateIn(cgroups, mounts)) // also where no write would wait
	if e == nil {
		t.Skip("no cgroup v1 here")
	}
	text := func(file string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := text("/proc/self/cgroup")
	e.Write()
	if after := text("/proc/self/cgroup"); after != before {
		t.Errorf("this process has been moved from %q to %q", before, after)
	}
	if procs := text(path.Join(path.Dir(e.File), "cgroup.procs")); !slices.Contains(strings.Fields(procs), strconv.Itoa(os.Getpid())) {
		t.Errorf("%s is not a cgroup of this process", e.File)
	}
}
