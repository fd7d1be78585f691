package doctor

import (
	"os"
	"testing"
	"time"
)

func TestReconcile(t *testing.T) {
	alive := kernelState{ID: "w", Name: "web", PID: 7, Alive: true, Start: 100}
	with := func(change func(*kernelState)) kernelState {
		k := alive
		change(&k)
		return k
	}
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	owners := map[int]owner{
		8:  {Alive: true, Name: "cron", Started: begin.Add(time.Hour)},
		9:  {Alive: true, ID: "x", Name: "nginx", Started: begin.Add(time.Hour)},
		10: {Alive: true, ID: "w", Parent: "systemd"},
		11: {Alive: true, ID: "w", Parent: "containerd-shim"},
		12: {Alive: true, ID: "w"},
		13: {Alive: true, Name: "sh", Started: begin.Add(-time.Second)},
		14: {Err: os.ErrPermission},
	}
	for name, test := range map[string]struct {
		claims   []claim
		kernel   []kernelState
		complete bool
		want     Kind // empty: they agree
	}{
		"both agree":                     {[]claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []kernelState{alive}, true, ""},
		"paused agrees":                  {[]claim{{ID: "w", Name: "web", State: "paused", PID: 7}}, []kernelState{alive}, true, ""},
		"exited and no process":          {[]claim{{ID: "w", Name: "web", State: "exited"}}, nil, true, ""},
		"restarting says nothing":        {[]claim{{ID: "w", Name: "web", State: "restarting"}}, []kernelState{alive}, true, ""},
		"inspect does not answer":        {[]claim{{ID: "w", Name: "web", State: "running"}}, []kernelState{alive}, true, ""},
		"inspect does not answer, alone": {[]claim{{ID: "w", Name: "web", State: "running"}}, nil, true, ""},
		"running, its init is dead":      {[]claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []kernelState{with(func(k *kernelState) { k.Alive = false })}, true, noProcess},
		"running, nobody there":          {[]claim{{ID: "w", Name: "web", State: "running", PID: 77}}, nil, true, noProcess},
		"the number is the host's":       {[]claim{{ID: "w", Name: "web", State: "running", PID: 8, Started: begin}}, nil, true, pidRecycled},
		"the number is a container's":    {[]claim{{ID: "w", Name: "web", State: "running", PID: 9, Started: begin}}, nil, true, pidRecycled},
		"wrong number of a live one":     {[]claim{{ID: "w", Name: "web", State: "running", PID: 8, Started: begin}}, []kernelState{alive}, true, pidRecycled},
		"old number of a live one":       {[]claim{{ID: "w", Name: "web", State: "running", PID: 77}}, []kernelState{alive}, true, stateStale},
		"its process without a shim":     {[]claim{{ID: "w", Name: "web", State: "running", PID: 10}}, nil, true, shimMissing},
		"its shim cannot be looked at":   {[]claim{{ID: "w", Name: "web", State: "running", PID: 11}}, nil, true, unchecked},
		"its parent cannot be seen":      {[]claim{{ID: "w", Name: "web", State: "running", PID: 12}}, nil, true, unchecked},
		"an init that left its cgroup":   {[]claim{{ID: "w", Name: "web", State: "running", PID: 13, Started: begin}}, nil, true, unchecked},
		"nobody knows when it started":   {[]claim{{ID: "w", Name: "web", State: "running", PID: 8}}, nil, true, unchecked},
		"it cannot be looked at":         {[]claim{{ID: "w", Name: "web", State: "running", PID: 14, Started: begin}}, nil, true, unchecked},
		"exited, but it runs":            {[]claim{{ID: "w", Name: "web", State: "exited"}}, []kernelState{alive}, true, stateStale},
		"nobody knows it":                {nil, []kernelState{alive}, true, noRecord},
		"the engine was not asked":       {nil, []kernelState{alive}, false, ""},
		"name twice":                     {[]claim{{ID: "w", Name: "web", State: "exited"}, {ID: "v", Name: "web", State: "created"}}, nil, true, nameTwice},
		"the runtime's state is older":   {[]claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []kernelState{with(func(k *kernelState) { k.StatePID, k.StateStart = 7, 99 })}, true, stateStale},
		"the runtime's state agrees":     {[]claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []kernelState{with(func(k *kernelState) { k.StatePID, k.StateStart = 7, 100 })}, true, ""},
		"the file says exited": {[]claim{{ID: "w", Name: "web", State: "running", PID: 7}},
			[]kernelState{with(func(k *kernelState) { k.HasStored, k.Stored = true, claim{ID: "w", State: "exited"} })}, true, stateStale},
	} {
		got := compareRecords(test.claims, test.kernel, test.complete, func(pid int) owner { return owners[pid] })
		switch {
		case test.want == "" && len(got) > 0, test.want != "" && (len(got) != 1 || got[0].Kind != test.want):
			t.Errorf("%s: %+v, want %q", name, got, test.want)
		}
	}
}
