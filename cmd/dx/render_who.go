package main

import (
	"strconv"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/lookup"
)

// whoRecord is one line of dx who --format json.
type whoRecord struct {
	Arg    string
	Kind   lookup.Kind
	Name   string `header:"CONTAINER"`
	ID     string `header:"CONTAINER ID"`
	Pid    int    // of the container's init; 0: it does not run
	How    string
	Engine string // whose the container is
	Source dockerx.Source
}

func (r whoRecord) Quiet() string { return r.ID }

func (r whoRecord) Short() whoRecord {
	r.ID = output.ShortID(r.ID)
	return r
}

func whoRecords(arg string, hits []lookup.Hit) []whoRecord {
	var out []whoRecord
	for _, h := range hits {
		r := whoRecord{
			Arg: arg, Kind: h.Kind, Name: h.Container.Name, ID: h.Container.ID,
			How: h.Evidence, Engine: h.Container.Engine, Source: h.Container.Source,
		}
		if h.Container.Process != nil {
			r.Pid = h.Container.Process.PID
		}
		out = append(out, r)
	}
	return out
}

func whoTable(list []whoRecord) output.Table {
	t := output.Table{
		Header: []string{"ARG", "KIND", "CONTAINER", "ID", "PID", "HOW"},
		Drop:   []string{"ID", "ENGINE", "KIND", "HOW"},
	}
	for _, r := range list {
		pid := "-"
		if r.Pid != 0 {
			pid = strconv.Itoa(r.Pid)
		}
		t.Rows = append(t.Rows, output.Row(r.Arg, string(r.Kind), r.Name, r.ID, pid, r.How))
	}
	return withEngines(t, list, func(r whoRecord) string { return r.Engine })
}
