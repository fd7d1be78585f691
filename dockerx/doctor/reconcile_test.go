package doctor

import "testing"

func TestReconcile(t *testing.T) {
	alive := Kernel{ID: "w", Name: "web", PID: 7, Alive: true, Start: 100}
	with := func(change func(*Kernel)) Kernel {
		k := alive
		change(&k)
		return k
	}
	owners := map[int]Owner{8: {Alive: true, Name: "cron"}, 9: {Alive: true, ID: "x", Name: "nginx"}, 10: {Alive: true, ID: "w"}}
	for name, test := range map[string]struct {
		claims   []Claim
		kernel   []Kernel
		complete bool
		want     Kind // empty: they agree
	}{
		"both agree":                     {[]Claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []Kernel{alive}, true, ""},
		"paused agrees":                  {[]Claim{{ID: "w", Name: "web", State: "paused", PID: 7}}, []Kernel{alive}, true, ""},
		"exited and no process":          {[]Claim{{ID: "w", Name: "web", State: "exited"}}, nil, true, ""},
		"restarting says nothing":        {[]Claim{{ID: "w", Name: "web", State: "restarting"}}, []Kernel{alive}, true, ""},
		"inspect does not answer":        {[]Claim{{ID: "w", Name: "web", State: "running"}}, []Kernel{alive}, true, ""},
		"inspect does not answer, alone": {[]Claim{{ID: "w", Name: "web", State: "running"}}, nil, true, ""},
		"running, its init is dead":      {[]Claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []Kernel{with(func(k *Kernel) { k.Alive = false })}, true, NoProcess},
		"running, nobody there":          {[]Claim{{ID: "w", Name: "web", State: "running", PID: 77}}, nil, true, NoProcess},
		"the number is the host's":       {[]Claim{{ID: "w", Name: "web", State: "running", PID: 8}}, nil, true, PIDRecycled},
		"the number is a container's":    {[]Claim{{ID: "w", Name: "web", State: "running", PID: 9}}, nil, true, PIDRecycled},
		"wrong number of a live one":     {[]Claim{{ID: "w", Name: "web", State: "running", PID: 8}}, []Kernel{alive}, true, PIDRecycled},
		"old number of a live one":       {[]Claim{{ID: "w", Name: "web", State: "running", PID: 77}}, []Kernel{alive}, true, StateStale},
		"its process without a shim":     {[]Claim{{ID: "w", Name: "web", State: "running", PID: 10}}, nil, true, ShimMissing},
		"exited, but it runs":            {[]Claim{{ID: "w", Name: "web", State: "exited"}}, []Kernel{alive}, true, StateStale},
		"nobody knows it":                {nil, []Kernel{alive}, true, NoRecord},
		"the engine was not asked":       {nil, []Kernel{alive}, false, ""},
		"name twice":                     {[]Claim{{ID: "w", Name: "web", State: "exited"}, {ID: "v", Name: "web", State: "created"}}, nil, true, NameTwice},
		"the runtime's state is older":   {[]Claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []Kernel{with(func(k *Kernel) { k.StatePID, k.StateStart = 7, 99 })}, true, StateStale},
		"the runtime's state agrees":     {[]Claim{{ID: "w", Name: "web", State: "running", PID: 7}}, []Kernel{with(func(k *Kernel) { k.StatePID, k.StateStart = 7, 100 })}, true, ""},
		"the file says exited": {[]Claim{{ID: "w", Name: "web", State: "running", PID: 7}},
			[]Kernel{with(func(k *Kernel) { k.HasStored, k.Stored = true, Claim{ID: "w", State: "exited"} })}, true, StateStale},
	} {
		got := Reconcile(test.claims, test.kernel, test.complete, func(pid int) Owner { return owners[pid] })
		switch {
		case test.want == "" && len(got) > 0, test.want != "" && (len(got) != 1 || got[0].Kind != test.want):
			t.Errorf("%s: %+v, want %q", name, got, test.want)
		}
	}
}
