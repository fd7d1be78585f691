package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"dx/dockerx/doctor"
	"dx/nsops/escape"
)

// doctorRecord is the one record of dx doctor --format json.
type doctorRecord struct{ *doctor.Report }

func (r doctorRecord) quiet() string { return r.Status }

func (r doctorRecord) short() doctorRecord {
	cut := *r.Report
	cut.Findings = slices.Clone(cut.Findings)
	for i := range cut.Findings {
		cut.Findings[i].ID = shortID(cut.Findings[i].ID)
	}
	return doctorRecord{&cut}
}

// renderDoctor prints a report: as a page for people, else as every verb does.
func renderDoctor(out *output, r *doctor.Report) error {
	o := out.options
	if o.quiet || o.format != "" && o.format != "table" {
		return render(out, []doctorRecord{{r}}, nil)
	}
	var b bytes.Buffer
	doctorHead(&b, r, out.screen.colour)
	if err := doctorTable(r, o.noTrunc).write(&b, out.screen.colour); err != nil {
		return err
	}
	doctorNext(&b, r)
	doctorDumps(&b, r)
	_, err := b.WriteTo(out.screen)
	return err
}

func doctorHead(b *bytes.Buffer, r *doctor.Report, colour bool) {
	head := cell{text: strings.ToUpper(r.Status), alert: r.Status != "healthy"}
	fmt.Fprintf(b, "%s: %s\n", head.render(colour), escape.Line(r.Verdict.Sentence))
	if r.Verdict.Layer != "" {
		fmt.Fprintf(b, "layer: %s (%s)\n", r.Verdict.Layer, r.Verdict.Confidence)
	}
	for _, also := range r.Verdict.Also {
		fmt.Fprintf(b, "also: %s\n", escape.Line(also))
	}
	fmt.Fprintln(b)
}

// doctorTable is the evidence: a line a finding, and one for each thing seen.
func doctorTable(r *doctor.Report, noTrunc bool) table {
	t := table{header: []string{"LAYER", "SEVERITY", "WHAT", "SEEN"}}
	for _, f := range r.Findings {
		severity, _ := f.Severity.MarshalText()
		what := f.Text
		if noTrunc && f.ID != "" {
			what += " [" + f.ID + "]"
		}
		cells := row(string(f.Layer), string(severity), what, strings.Join(f.Evidence[:min(1, len(f.Evidence))], ""))
		cells[1].alert = f.Severity > doctor.Note
		t.rows = append(t.rows, cells)
		for _, more := range f.Evidence[min(1, len(f.Evidence)):] {
			t.rows = append(t.rows, row("", "", "", more))
		}
	}
	if len(t.rows) == 0 {
		t.rows = append(t.rows, row("-", "-", fmt.Sprintf("%d probes, nothing to say", len(r.Probes)), ""))
	}
	return t
}

func doctorNext(b *bytes.Buffer, r *doctor.Report) {
	if len(r.Verdict.Next) == 0 {
		return
	}
	fmt.Fprintln(b, "\nWhat to do, the safest first:")
	for i, s := range r.Verdict.Next {
		fmt.Fprintf(b, "%2d. %s\n", i+1, escape.Line(s.Why))
		if s.Command != "" {
			fmt.Fprintf(b, "    %s\n", escape.Line(s.Command))
		}
	}
}

// doctorDumps tells what goroutines wait for.
func doctorDumps(b *bytes.Buffer, r *doctor.Report) {
	for _, d := range r.Dumps {
		fmt.Fprintf(b, "\n%s (pid %d)", escape.Line(d.Of), d.PID)
		if d.Error != "" {
			fmt.Fprintf(b, ": %s\n", escape.Line(d.Error))
			continue
		}
		fmt.Fprintf(b, ", %d goroutines, in %s:\n", d.Goroutines, escape.Line(d.File))
		idle := d.Goroutines
		for _, g := range d.Groups {
			if g.Waits == doctor.WaitsOther {
				continue
			}
			idle -= g.Count
			fmt.Fprintf(b, "%5d  %-14s %s", g.Count, escape.Line(string(g.Waits)), escape.Line(g.At))
			if g.Minutes > 0 {
				fmt.Fprintf(b, ", the longest for %d min", g.Minutes)
			}
			fmt.Fprintln(b)
			if g.For != "" {
				fmt.Fprintf(b, "       for %s\n", escape.Line(g.For))
			}
		}
		fmt.Fprintf(b, "%5d  %-14s\n", idle, "idle or at work")
	}
}
