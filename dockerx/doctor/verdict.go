package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Diagnose makes a verdict of findings. It asks nobody and depends on nothing but
// its arguments.
//
// The gravest findings are looked at; of these, the first in the order of the
// kinds. From there the way goes to what may have caused it, as long as there is
// such a finding. What does not follow from the cause is told beside it.
func Diagnose(findings []Finding, e Engine) (Verdict, Severity) {
	list := sorted(findings)
	if len(list) == 0 || list[0].Severity == Note {
		return healthy(list, e), Note
	}
	worst := list[0].Severity
	cause, sure := root(list[0], list)
	v := Verdict{
		Sentence:   sentence(cause, list[0]),
		Layer:      cause.Layer,
		Confidence: sure,
		Cause:      &cause,
		Next:       steps(cause, e),
	}
	for _, f := range list {
		if f.Severity > Note && !same(f, cause) && !follows(f, cause, list) {
			v.Also = append(v.Also, f.Text)
			if f.Severity == Hung {
				v.Next = append(v.Next, mending(f, e)...)
			}
		}
	}
	return v, worst
}

// healthy is one line, and claims no more than was looked at.
func healthy(list []Finding, e Engine) Verdict {
	v := Verdict{Sentence: "nothing is stuck: the engine answers, " + count(e.Running, "container") + " run", Confidence: Certain}
	if e.Running == 1 {
		v.Sentence += "s"
	}
	for _, f := range list {
		switch f.Kind {
		case noDocker:
			v.Sentence = f.Text
		case unchecked:
			v.Confidence = Likely
		}
	}
	if v.Confidence == Likely {
		v.Sentence += ", as far as dx could look"
		if !e.root {
			v.Next = []Step{{Why: "look again with the rights to see everything", Command: "sudo dx doctor" + onHost(e)}}
		}
	}
	return v
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// sorted puts the gravest first, and causes before what follows from them.
func sorted(findings []Finding) []Finding {
	list := append([]Finding{}, findings...) // [] in JSON, never null
	slices.SortStableFunc(list, func(a, b Finding) int {
		if a.Severity != b.Severity {
			return int(b.Severity - a.Severity)
		}
		if d := slices.Index(order, a.Kind) - slices.Index(order, b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Container+a.ID+a.Text, b.Container+b.ID+b.Text)
	})
	return list
}

// root follows causes. Each step down makes the verdict no surer than "likely",
// but where the cause is of the same container and the kernel's own word.
func root(f Finding, list []Finding) (Finding, Confidence) {
	sure := catalogue()[f.Kind].sure
	for range order {
		cause, ok := causeOf(f, list)
		if !ok {
			return f, sure
		}
		sure = Likely
		if cause.ID != "" && cause.ID == f.ID || isDaemonDown(cause.Kind) {
			sure = catalogue()[cause.Kind].sure
		}
		f = cause
	}
	return f, sure
}

// isDaemonDown reports whether a kind is a state in which a daemon does nothing at all.
func isDaemonDown(k Kind) bool {
	return k == containerdAbsent || slices.Contains(cross(standing, dockerdRole, containerdRole), k)
}

// causeOf finds what f may follow from.
func causeOf(f Finding, list []Finding) (Finding, bool) {
	for _, kind := range catalogue()[f.Kind].causes {
		for _, g := range list {
			if g.Kind == kind && !same(f, g) && (g.ID == "" || f.ID == "" || g.ID == f.ID) {
				return g, true
			}
		}
	}
	return Finding{}, false
}

// same reports whether two findings are one.
func same(a, b Finding) bool { return a.Kind == b.Kind && a.ID == b.ID && a.Text == b.Text }

// follows reports whether f is explained by the cause: through its chain, or because
// the cause is a daemon above it that does nothing at all.
func follows(f, cause Finding, list []Finding) bool {
	if r, _ := root(f, list); same(r, cause) {
		return true
	}
	silence := slices.Contains([]Kind{dockerdSilent, backlogFull, listSilent, containerLock, engineRefuses}, f.Kind)
	switch cause.Layer {
	case LayerDockerd, LayerSocket:
		return silence
	case LayerContainerd:
		return silence || f.Kind == tasksSilent
	}
	return false
}

// sentence is the verdict in one sentence.
func sentence(cause, symptom Finding) string {
	s := cause.Text
	if !same(cause, symptom) {
		s += ", which explains that " + symptom.Text
	}
	if means := catalogue()[cause.Kind].means; means != "" {
		s += ": " + means
	}
	return s
}
