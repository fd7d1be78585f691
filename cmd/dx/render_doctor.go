package main

import (
	"fmt"
	"slices"
	"strings"

	"dx/cmd/dx/output"
	"dx/dockerx/doctor"
)

// doctorRecord is the one record of dx doctor --format json.
type doctorRecord struct{ *doctor.Report }

func (r doctorRecord) Quiet() string { return r.Status }

func (r doctorRecord) Short() doctorRecord {
	cut := *r.Report
	cut.Findings = slices.Clone(cut.Findings)
	for i := range cut.Findings {
		cut.Findings[i].ID = output.ShortID(cut.Findings[i].ID)
	}
	return doctorRecord{&cut}
}

// renderDoctor prints a report: as a page for people, else as every verb does.
func renderDoctor(out *output.Printer, r *doctor.Report) error {
	o := out.Options
	if !out.IsTable() {
		return output.Render(out, []doctorRecord{{r}}, nil)
	}
	page := out.NewCard()
	doctorHead(page, r)
	if r.Status == "healthy" {
		doctorNotes(page, r)
	} else {
		page.Blank()
		page.Table(doctorTable(r, o.NoTrunc))
	}
	doctorNext(page, r)
	doctorDumps(page, r)
	return page.Print()
}

func doctorHead(page *output.Card, r *doctor.Report) {
	head := output.Cell{Text: strings.ToUpper(r.Status), Alert: r.Status != "healthy"}
	page.Cells(head, output.Cell{Text: ": " + r.Verdict.Sentence})
	if r.Verdict.Layer != "" {
		page.Linef("layer: %s (%s)", r.Verdict.Layer, r.Verdict.Confidence)
	}
	for _, also := range r.Verdict.Also {
		page.Linef("also: %s", also)
	}
}

// doctorNotes are what may be worth knowing where nothing is stuck.
func doctorNotes(page *output.Card, r *doctor.Report) {
	for _, f := range r.Findings {
		switch {
		case f.Text == r.Verdict.Sentence:
		case f.Unchecked():
			page.Linef("not checked: %s", f.Text)
		default:
			page.Linef("note: %s", f.Text)
		}
	}
}

// doctorTable is the evidence: a line a finding, and one for each thing seen.
func doctorTable(r *doctor.Report, noTrunc bool) output.Table {
	t := output.Table{Header: []string{"LAYER", "SEVERITY", "WHAT", "SEEN"}}
	for _, f := range r.Findings {
		severity, _ := f.Severity.MarshalText()
		what := f.Text
		if noTrunc && f.ID != "" {
			what += " [" + f.ID + "]"
		}
		cells := output.Row(string(f.Layer), string(severity), what, strings.Join(f.Evidence[:min(1, len(f.Evidence))], ""))
		cells[1].Alert = f.Severity > doctor.Note
		t.Rows = append(t.Rows, cells)
		for _, more := range f.Evidence[min(1, len(f.Evidence)):] {
			t.Rows = append(t.Rows, output.Row("", "", "", more))
		}
	}
	if len(t.Rows) == 0 {
		t.Rows = append(t.Rows, output.Row("-", "-", fmt.Sprintf("%d probes, nothing to say", len(r.Probes)), ""))
	}
	return t
}

func doctorNext(page *output.Card, r *doctor.Report) {
	if len(r.Verdict.Next) == 0 {
		return
	}
	page.Blank()
	page.Line("What to do, the safest first:")
	for i, s := range r.Verdict.Next {
		page.Linef("%2d. %s", i+1, s.Why)
		if s.Command != "" {
			page.Linef("    %s", s.Command)
		}
	}
}

// doctorDumps shows what goroutines wait for.
func doctorDumps(page *output.Card, r *doctor.Report) {
	for _, d := range r.Dumps {
		page.Blank()
		if d.Error != "" {
			page.Linef("%s (pid %d): %s", d.Of, d.PID, d.Error)
			continue
		}
		page.Linef("%s (pid %d), %d goroutines, in %s:", d.Of, d.PID, d.Goroutines, d.File)
		idle := d.Goroutines
		for _, g := range d.Groups {
			if g.Waits == doctor.WaitsOther {
				continue
			}
			idle -= g.Count
			doctorGroup(page, g)
		}
		page.Linef("%5d  %-14s", idle, "idle or at work")
	}
}

func doctorGroup(page *output.Card, g doctor.Group) {
	longest := ""
	if g.Minutes > 0 {
		longest = fmt.Sprintf(", the longest for %d min", g.Minutes)
	}
	page.Linef("%5d  %-14s %s%s", g.Count, g.Waits, g.At, longest)
	if g.For != "" {
		page.Linef("       for %s", g.For)
	}
}
