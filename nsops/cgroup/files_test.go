package cgroup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/nsops/proc"
)

// made writes a hierarchy into a directory: path → content.
func made(t *testing.T, files map[string]string) string {
	t.Helper()
	top := t.TempDir()
	for name, text := range files {
		file := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func ptr[T any](v T) *T { return &v }

// TestV2: contents as kernel 6.18 has them for a container of docker's with -m 64m,
// below a slice that allows less.
func TestV2(t *testing.T) {
	top := made(t, map[string]string{
		"slice/memory.max": "33554432\n", "slice/pids.max": "max\n",
		"slice/c/cgroup.controllers": "cpu memory pids\n", "slice/c/cgroup.events": "populated 1\nfrozen 1\n",
		"slice/c/memory.max": "67108864\n", "slice/c/memory.current": "405504\n", "slice/c/memory.peak": "901120\n",
		"slice/c/memory.high": "max\n", "slice/c/memory.swap.max": "67108864\n", "slice/c/memory.low": "0\n",
		"slice/c/memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n",
		"slice/c/pids.max":      "20\n", "slice/c/pids.current": "1\n",
		"slice/c/cpu.max": "50000 100000\n", "slice/c/cpu.weight": "100\n", "slice/c/cpuset.cpus": "\n",
		"slice/c/cpu.stat":     "usage_usec 20110\nuser_usec 4\nsystem_usec 5\nnr_periods 7\nnr_throttled 2\nthrottled_usec 900\n",
		"slice/c/cpu.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=3321\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=17\n",
	})
	dir := Dir{Path: top + "/slice/c"}
	got := read([]located{{Dir: dir, top: top}})
	want := &Usage{
		Version: 2, Dirs: []Dir{dir}, Frozen: ptr(true),
		Memory: &Memory{
			Limit: 64 << 20, Usage: 405504, Peak: ptr[uint64](901120), High: ptr(proc.Unlimited), SwapLimit: ptr[proc.Limit](64 << 20),
			OOMKills: ptr[uint64](1), Outer: &Outer{Limit: 32 << 20, Path: top + "/slice"},
		},
		Pids:     &Pids{Limit: 20, Current: 1},
		CPU:      &CPU{Quota: 50000, Period: 100000, Weight: ptr[uint64](100), Usage: 20110, Periods: 7, Throttled: 2, ThrottledTime: 900},
		Pressure: map[string]Pressure{"cpu": {Some: Stall{Avg10: 1.5, Avg60: 0.25, Total: 3321}, Full: Stall{Total: 17}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cgroup v2 (-want +got):\n%s", diff)
	}
}

func TestV1(t *testing.T) {
	top := made(t, map[string]string{
		"memory/c/memory.limit_in_bytes": "9223372036854771712\n", "memory/c/memory.usage_in_bytes": "4096\n",
		"memory/c/memory.soft_limit_in_bytes": "9223372036854771712\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
		"memory/c/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		"cpu/c/cpu.cfs_quota_us":      "-1\n", "cpu/c/cpu.cfs_period_us": "100000\n", "cpu/c/cpu.shares": "512\n",
		"cpu/c/cpu.stat":           "nr_periods 4\nnr_throttled 3\nthrottled_time 5000000\n",
		"cpuacct/c/cpuacct.usage":  "7000000\n",
		"cpuset/c/cpuset.cpus":     "0-1\n",
		"freezer/c/freezer.state":  "THAWED\n",
		"unified/c/cgroup.events":  "populated 1\nfrozen 0\n",
		"unified/c/cgroup.procs":   "1\n",
		"unified/c/cpu.stat":       "usage_usec 1\n",
		"unified/c/cgroup.type":    "domain\n",
		"unified/c/cgroup.threads": "1\n",
	})
	var dirs []located
	for _, c := range []string{"memory", "cpu", "cpuacct", "cpuset", "freezer"} {
		dirs = append(dirs, located{Dir: Dir{Controller: c, Path: top + "/" + c + "/c"}, top: top + "/" + c})
	}
	dirs = append(dirs, located{Dir: Dir{Path: top + "/unified/c"}, top: top + "/unified"})
	got := read(dirs)
	got.Dirs = nil
	want := &Usage{
		Version: 1, Frozen: ptr(false),
		Memory: &Memory{Limit: proc.Unlimited, Usage: 4096, OOMKills: ptr[uint64](2)},
		CPU: &CPU{
			Quota: proc.Unlimited, Period: 100000, Shares: ptr[uint64](512), Cpuset: "0-1", Usage: 7000,
			Periods: 4, Throttled: 3, ThrottledTime: 5000,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cgroup v1 (-want +got):\n%s", diff)
	}
	if b, err := json.Marshal(got.Memory); err != nil || string(b) != `{"Limit":null,"Usage":4096,"Reservation":0,"OOMKills":2}` {
		t.Errorf("the JSON is %s, %v, want an unlimited memory with a limit of null", b, err)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add("max")
	f.Add("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
	f.Add("oom_kill 2\nunder_oom 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		parseLimit(text)
		parseKeyed(text)
		if p, ok := parsePressure(text); ok {
			if _, err := json.Marshal(p); err != nil {
				t.Error(err)
			}
		}
	})
}
