package host

import (
	"bytes"
	"strings"
	"testing"

	"dx/dockerx/docker"
	"dx/dockerx/plain/plaintest"
	"dx/nsops/mounts"
	"dx/nsops/proc"
)

// Each parser must take any bytes without panic or loop. What it accepts must
// hold what its callers rely on.

func FuzzParseState(f *testing.F) {
	f.Add(testdata(f, "state.json"))
	f.Add(detachedData(f, "state.json"))
	f.Add([]byte(`{"id":"x","init_process_pid":1,"init_process_start":2,"config":{"umask":18}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		plaintest.Same(t, data, (*runcState).read)
		if s, err := ParseState(data); err == nil && (s.ID == "" || s.InitPID <= 0) {
			t.Errorf("a state without ID or PID is taken: %+v", s)
		}
		if s, err := ParseStateHead(bytes.NewReader(data)); err == nil && (s.ID == "" || s.InitPID <= 0 || s.InitStart == 0) {
			t.Errorf("the head of a state without ID, PID or start is taken: %+v", s)
		}
		if m, err := ParseMade(data); err == nil && m == nil {
			t.Error("neither what a container was made with nor an error")
		}
		if s, err := ParseCrunStatus(data); err == nil && s.InitPID <= 0 {
			t.Errorf("a status of crun's without PID is taken: %+v", s)
		}
	})
}

func FuzzParseSpec(f *testing.F) {
	f.Add(testdata(f, "config.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		plaintest.Same(t, data, (*bundleSpec).read)
		s, err := ParseSpec(data)
		if err != nil {
			return
		}
		if s.Process == nil || s.Root == nil || s.Linux == nil {
			t.Errorf("a spec without process, root or linux is taken: %+v", s)
		}
		containersDir(s.Mounts)
	})
}

func FuzzParseDocker(f *testing.F) {
	f.Add(testdata(f, "config.v2.json"))
	f.Add(testdata(f, "hostconfig.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := docker.Parse(data); err == nil && !docker.IsID(d.ID) {
			t.Errorf("a container with the ID %q is taken", d.ID)
		}
		docker.ParseHostConfig(data)
	})
}

func FuzzParseSmall(f *testing.F) {
	f.Add(testdata(f, "options.json"))
	f.Add(testdata(f, "init.pid"))
	f.Add(testdata(f, "limits"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ParseOptions(data)
		proc.ParseLimits(bytes.NewReader(data))
		if pid, err := ParseInitPID(data); err == nil && pid <= 0 {
			t.Errorf("pid %d", pid)
		}
	})
}

func FuzzMountinfo(f *testing.F) {
	f.Add(testdata(f, "mountinfo"), testdata(f, "cgroup"))
	f.Add(testdata(f, "host-mountinfo"), testdata(f, "cgroup"))
	self := parseMounts(f, testdata(f, "host-mountinfo"))
	f.Fuzz(func(t *testing.T, text, cgroup []byte) {
		if theirs, err := mounts.Parse(text, false); err == nil {
			containersDirIn(theirs, self)
		}
		cgroups, err := proc.ParseCgroups(cgroup)
		if err != nil {
			return
		}
		if id, ok := CgroupID(cgroups); ok && !InCgroup(cgroups, "moby", id) {
			t.Errorf("CgroupID found %s, InCgroup does not", id)
		}
	})
}

// FuzzSplitBundlePath: a working directory's name is anybody's to choose.
func FuzzSplitBundlePath(f *testing.F) {
	f.Add("/run/containerd/io.containerd.runtime.v2.task/moby/" + webID)
	f.Add("/x/io.containerd.runtime.v2.task/k8s.io/.a (deleted)")
	f.Fuzz(func(t *testing.T, text string) {
		namespace, id, ok := splitBundlePath(cutDeleted(text))
		if ok && (id == "" || namespace == "" || strings.ContainsAny(id, "/ ") || id[0] == '.') {
			t.Errorf("%q: %q %q", text, namespace, id)
		}
		if ok && namespace == "moby" && !docker.IsID(id) {
			t.Errorf("%q: %q is no ID of Docker's", text, id)
		}
	})
}
