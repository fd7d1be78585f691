package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dx/cmd/dx/output"
	"dx/dockerx/doctor"
)

// doctorText is what dx doctor writes to a file for a report.
func doctorText(t *testing.T, o output.Options, r *doctor.Report) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := output.New(f, o)
	if err == nil {
		err = renderDoctor(out, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDoctorPrintsNoControlCharacters: names, mounts and stacks are a container's
// choice.
func TestDoctorPrintsNoControlCharacters(t *testing.T) {
	const evil = "x\x1b[2J\r\u202e\x9by"
	f := doctor.Finding{Kind: "mount-silent", Layer: doctor.LayerMount, Severity: doctor.Degraded, Container: evil, ID: evil, Path: evil, Text: evil, Evidence: []string{evil, evil}}
	v, severity := doctor.Diagnose([]doctor.Finding{f, {Kind: "pids-limit", Severity: doctor.Degraded, Text: evil + "2"}}, doctor.Engine{Host: evil})
	r := &doctor.Report{Status: severity.String(), Verdict: v, Findings: []doctor.Finding{f}, Dumps: []doctor.Dump{
		{Of: evil, Error: evil}, {Of: evil, File: evil, Groups: []doctor.Group{{Waits: evil, At: evil, For: evil, Count: 1}}},
	}}
	for _, o := range []output.Options{{}, {NoTrunc: true}, {Format: "json"}, {Quiet: true}, {Format: "table {{.Status}} {{.Verdict.Sentence}}"}} {
		got := doctorText(t, o, r)
		if strings.ContainsAny(got, "\x1b\r\u009b") || strings.Contains(got, "\u202e") && o.Format != "json" {
			t.Errorf("with %+v control characters reach the terminal: %q", o, got)
		}
	}
	if got := doctorText(t, output.Options{Quiet: true}, r); got != "degraded\n" {
		t.Errorf("-q: %q", got)
	}
}

// TestDoctorRefusesWhatHasNoEffect: no flag is taken and ignored.
func TestDoctorRefusesWhatHasNoEffect(t *testing.T) {
	for _, args := range [][]string{
		{"--source", "host", "doctor"}, {"doctor", "--timeout", "0"}, {"doctor", "--watch", "--dump"}, {"doctor", "--watch", "--bundle", "x"}, {"doctor", "--interval", "-1s"}, {"doctor", "web"}, {"-H", "ssh://x", "doctor"},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "err"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if code := run(args, f, f, f); code != exitDx && code != exitFailure || code == 2 {
			t.Errorf("%q: exit %d", args, code)
		}
	}
}
