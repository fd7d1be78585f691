package main

import (
	"cmp"

	"dx/cmd/dx/output"
)

// severalEngines reports whether records are of several engines. What has none, as the
// host and pid:N, does not count.
func severalEngines[R any](list []R, engine func(R) string) bool {
	first := ""
	for _, r := range list {
		switch e := engine(r); {
		case e == "" || e == first:
		case first != "":
			return true
		default:
			first = e
		}
	}
	return false
}

// withEngines adds the column ENGINE to a table whose rows are of several engines.
func withEngines[R any](t output.Table, list []R, engine func(R) string) output.Table {
	if !severalEngines(list, engine) {
		return t
	}
	t.Header = append(t.Header, "ENGINE")
	for i, r := range list {
		t.Rows[i] = append(t.Rows[i], output.Row(cmp.Or(engine(r), "-"))...)
	}
	return t
}
