package posture

// Claim is what somebody says of a process: whoever made it, or a file that is kept
// about it. The Fact's Origin tells who.
type Claim struct {
	Fact
	Tolerance Tolerance
	// Or are values that mean the same.
	Or []string
}

// Tolerance says which deviations from a claim are legitimate, because a process may change
// some of what it was given itself.
type Tolerance int

// The tolerances.
const (
	// Exact: nobody but the maker changes it.
	Exact Tolerance = iota
	// MayDrop: a process may give it up and never get it back: elements of a set,
	// "yes" that becomes "no".
	MayDrop
	// MayAdd: the reverse: a process may add confinement, but not shed it.
	MayAdd
	// Includes: the claim is of part of the set.
	Includes
	// Own: a process may change it as it likes.
	Own
	// SoftOnly: of SOFT:HARD, a process may change SOFT, and HARD downwards.
	SoftOnly
)
