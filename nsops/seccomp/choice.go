package seccomp

import (
	"errors"
	"slices"

	"golang.org/x/net/bpf"
)

// errConflict is libseccomp's EEXIST: such a profile starts no container.
var errConflict = errors.New("two rules with the same conditions and different actions")

// choice is the answer to one number, or to a range of numbers.
type choice struct {
	answer uint32  // if no alternative matches
	trials *trials // nil for none; most calls have none, and there are many calls
}

// trials are alternatives in the order of trial.
type trials []alternative

func (c choice) equal(o choice) bool {
	return c.trials == nil && o.trials == nil && c.answer == o.answer
}

// decide merges the rules for one number, given in the order of the profile, as
// libseccomp does (db_rule_add and _db_tree_add of its db.c): the first rule
// without conditions prevails over all others, whatever their actions; without
// one, the rules are tried in libseccomp's order.
func decide(alternatives []*alternative, wide bool, fallback uint32) (choice, error) {
	var tree level
	for _, a := range alternatives {
		conds := reduce(a.conds, wide)
		if len(conds) == 0 {
			return choice{answer: a.answer}, nil
		}
		if err := tree.add(conds, a.answer); err != nil {
			return choice{}, err
		}
	}
	t := tree.flatten(nil, nil)
	return choice{answer: fallback, trials: &t}, nil
}

// reduce leaves out what always holds.
func reduce(conds []cond, wide bool) []cond {
	if len(conds) == 0 {
		return nil
	}
	out := make([]cond, 0, len(conds))
	for _, c := range conds {
		if !wide {
			c = c.narrow()
		}
		if !c.void() {
			out = append(out, c)
		}
	}
	return out
}

// level is a level of the tree of conditions: alternatives in the order of trial.
type level []*node

// node is a condition with an answer or with further conditions.
type node struct {
	cond   cond
	answer uint32
	leaf   bool
	next   level
}

// add inserts a rule. If the conditions of one rule begin with all those of another,
// the shorter one prevails.
func (l *level) add(conds []cond, answer uint32) error {
	at, found := l.place(conds[0])
	if found {
		return (*l)[at].merge(conds[1:], answer)
	}
	n := &node{cond: conds[0]}
	*l = slices.Insert(*l, at, n)
	return n.merge(conds[1:], answer)
}

// place finds a condition in a level, or the place for it. Conditions with the same
// high half are one node to libseccomp: they stay together, at the place of the
// first. Otherwise of equals the older one comes first.
func (l level) place(c cond) (at int, found bool) {
	if at = slices.IndexFunc(l, func(n *node) bool { return n.cond == c }); at >= 0 {
		return at, true
	}
	group := slices.IndexFunc(l, func(n *node) bool { return n.cond.sameHigh(c) })
	for at = max(group, 0); at < len(l); at++ {
		o := l[at].cond
		switch {
		case group >= 0 && !o.sameHigh(c), o.sameHigh(c) && c.beforeLow(o), group < 0 && c.before(o):
			return at, false
		}
	}
	return at, false
}

func (n *node) merge(conds []cond, answer uint32) error {
	switch {
	case len(conds) == 0 && n.contradicts(answer):
		return errConflict
	case len(conds) == 0:
		n.leaf, n.answer, n.next = true, answer, nil
	case !n.leaf:
		return n.next.add(conds, answer)
	}
	return nil
}

func (n *node) contradicts(answer uint32) bool {
	if n.leaf {
		return n.answer != answer
	}
	return slices.ContainsFunc(n.next, func(n *node) bool { return n.contradicts(answer) })
}

// flatten lists the rules in the order of trial.
func (l level) flatten(prefix []cond, out trials) trials {
	for _, n := range l {
		conds := append(slices.Clip(prefix), n.cond)
		if n.leaf {
			out = append(out, alternative{n.answer, conds})
		} else {
			out = n.next.flatten(conds, out)
		}
	}
	return out
}

// code appends the program for the choice, which never falls through.
func (c choice) code(program []bpf.Instruction) []bpf.Instruction {
	if c.trials != nil {
		for rest := *c.trials; len(rest) > 0; {
			n := rest.leadingSet()
			if n > 1 {
				program = append(program, rest[:n].setCode()...)
			} else {
				program = append(program, rest[0].code()...)
			}
			rest = rest[n:]
		}
	}
	return append(program, bpf.RetConstant{Val: c.answer})
}

// code returns the answer if all conditions hold, and else falls through.
func (a alternative) code() []bpf.Instruction {
	code := []bpf.Instruction{bpf.RetConstant{Val: a.answer}}
	for _, c := range slices.Backward(a.conds) {
		// Six conditions of six instructions at the most: a short jump reaches.
		code = append(c.code(uint8(len(code))), code...)
	}
	return code
}

// maxSet is how many values a set may have for its jumps to be short ones.
const maxSet = 250

// leadingSet counts the rules at the head which only want the same argument to
// equal a value, with the same high half, for the same answer: a list of ioctl(2)
// requests is one. Such a set takes one instruction a value.
func (t trials) leadingSet() int {
	n := 1
	for n < min(len(t), maxSet) && t[0].sameSet(t[n]) {
		n++
	}
	return n
}

func (a alternative) sameSet(b alternative) bool {
	c, d := a.conds[0], b.conds[0]
	return len(a.conds) == 1 && len(b.conds) == 1 && a.answer == b.answer &&
		c.op == equal && !c.masked && d.op == equal && !d.masked &&
		c.arg == d.arg && c.value>>32 == d.value>>32
}

// setCode tests a set.
func (t trials) setCode() []bpf.Instruction {
	first := t[0].conds[0]
	n := uint8(len(t))
	var code []bpf.Instruction
	if !first.half {
		code = append(code, first.load(4),
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(first.value >> 32), SkipTrue: n + 2})
	}
	code = append(code, first.load(0))
	for i, r := range t[:n-1] {
		code = append(code, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(r.conds[0].value), SkipTrue: n - 1 - uint8(i)})
	}
	return append(code,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(t[n-1].conds[0].value), SkipTrue: 1},
		bpf.RetConstant{Val: t[0].answer})
}
