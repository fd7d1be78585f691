package posture

// Claim is what somebody says of a process: whoever made it, or a file that is kept
// about it. The Fact's Origin tells who.
type Claim struct {
	Fact
	Slack Slack
	// Or are values that mean the same.
	Or []string
}

// Slack is how far the kernel may be from a claim without contradicting it: some of
// what a process was given it may change itself.
type Slack int

// The slacks.
const (
	// Exact: nobody but the maker changes it.
	Exact Slack = iota
	// Droppable: a process may give it up and never get it back: elements of a set,
	// "yes" that becomes "no".
	Droppable
	// Addable: the reverse: a process may add confinement, but not shed it.
	Addable
	// Includes: the claim is of part of the set.
	Includes
	// Own: a process may change it as it likes.
	Own
	// SoftOnly: of SOFT:HARD, a process may change SOFT, and HARD downwards.
	SoftOnly
)
