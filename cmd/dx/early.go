package main

import (
	"dx/nsops/cgroup"
	"dx/nsops/launch"
)

// writeEarly is for a command that will enter cgroups.
func writeEarly() {
	if early := cgroup.FindEarly(); early != nil {
		early.Write()
	}
}

// explainEarly says what dx does beside a program.
func (a *app) explainEarly(plan *launch.Plan) {
	if early := cgroup.FindEarly(); early != nil && len(plan.Cgroups) > 0 {
		a.result("  0  write(%s, TID)  # by a thread of dx that is there, ahead of all: the program then does not wait for its cgroups", early.File)
	}
}
