package cmpdiff

import (
	"slices"
	"strconv"
	"strings"

	"dx/nsops/posture"
)

// Verdict is what the kernel's facts make of a claim.
type Verdict string

// The verdicts.
const (
	Agrees      Verdict = "agrees"
	Changed     Verdict = "changed"     // the process may have changed it itself, and did
	Contradicts Verdict = "contradicts" // nothing that a process may do explains it
	Untold      Verdict = "unknown"     // the kernel does not tell
)

// Judgement is a claim beside the fact that it is about.
type Judgement struct {
	Claim   posture.Claim
	Kernel  *posture.Fact // nil where the kernel does not tell
	Verdict Verdict
	// Missing and Extra are the elements of a set that the kernel lacks or has beyond
	// the claim.
	Missing, Extra []string
}

// Judge compares what is claimed of a process with what the kernel says.
func Judge(kernel []posture.Fact, claims []posture.Claim) []Judgement {
	_, facts := index(kernel)
	var out []Judgement
	for _, c := range claims {
		out = append(out, judge(facts[keyOf(&c.Fact)], c))
	}
	return out
}

func judge(fact *posture.Fact, c posture.Claim) Judgement {
	j := Judgement{Claim: c, Kernel: fact, Verdict: Untold}
	if fact == nil {
		return j
	}
	if fact.Set {
		j.Missing, j.Extra = without(c.Values, fact.Values), without(fact.Values, c.Values)
		j.Verdict = judgeSet(c.Tolerance, j.Missing, j.Extra)
		return j
	}
	j.Verdict = judgeValue(fact, c)
	return j
}

func judgeSet(s posture.Tolerance, missing, extra []string) Verdict {
	switch {
	case len(missing) == 0 && (len(extra) == 0 || s == posture.Includes):
		return Agrees
	case s == posture.Own, s == posture.MayDrop && len(extra) == 0, s == posture.MayAdd && len(missing) == 0:
		return Changed
	}
	return Contradicts
}

func judgeValue(fact *posture.Fact, c posture.Claim) Verdict {
	have, want := one(fact.Values), one(c.Values)
	if have == want || slices.Contains(c.Or, have) || fact.Outer != "" && fact.Outer == want {
		return Agrees
	}
	switch c.Tolerance {
	case posture.Own:
		return Changed
	case posture.MayDrop:
		return changedIf(have == posture.No)
	case posture.MayAdd:
		return changedIf(want == posture.No || want == "disabled")
	case posture.SoftOnly:
		return changedIf(atMost(hard(have), hard(want)))
	}
	return Contradicts
}

func one(values []string) string { return strings.Join(values, " ") }

func changedIf(explained bool) Verdict {
	if explained {
		return Changed
	}
	return Contradicts
}

// hard is HARD of SOFT:HARD, or of one number for both.
func hard(limit string) string { return limit[strings.IndexByte(limit, ':')+1:] }

func atMost(a, b string) bool {
	if b == posture.Unlimited {
		return true
	}
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x <= y
}
