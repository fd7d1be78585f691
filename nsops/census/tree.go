package census

import (
	"cmp"
	"slices"

	"dx/nsops"
)

// Node is a namespace in a tree.
type Node struct {
	*Namespace
	Children []*Node
}

// Forest arranges namespaces: PID and user namespaces below their parents, the other
// kinds below the user namespace that owns them. What has nothing above it in the
// list is a root: user namespaces first, then PID namespaces.
func Forest(list []*Namespace) []*Node {
	nodes := map[nsops.ID]*Node{}
	for _, ns := range list {
		nodes[ns.ID] = &Node{Namespace: ns}
	}
	var roots []*Node
	for _, ns := range list {
		n := nodes[ns.ID]
		if above := nodes[ns.above()]; above != nil {
			above.Children = append(above.Children, n)
		} else {
			roots = append(roots, n)
		}
	}
	for _, n := range nodes {
		slices.SortFunc(n.Children, func(a, b *Node) int {
			return cmp.Or(cmp.Compare(nesting(a), nesting(b)), compare(a.Namespace, b.Namespace))
		})
	}
	slices.SortFunc(roots, func(a, b *Node) int {
		return cmp.Or(-cmp.Compare(nesting(a), nesting(b)), compare(a.Namespace, b.Namespace))
	})
	return roots
}

// above is the namespace that a tree shows it below.
func (ns *Namespace) above() nsops.ID {
	if ns.Type == nsops.PID || ns.Type == nsops.User {
		return ns.Parent
	}
	return ns.Owner
}

// nesting puts among siblings what has children last, and roots the other way round.
func nesting(n *Node) int {
	switch n.Type {
	case nsops.User:
		return 2
	case nsops.PID:
		return 1
	}
	return 0
}

// Above returns the namespaces over one, the nearest first: parents, and owners.
func (c *Census) Above(ns *Namespace) []*Namespace {
	var out []*Namespace
	seen := map[nsops.ID]bool{ns.ID: true}
	for todo := []*Namespace{ns}; len(todo) > 0; todo = todo[1:] {
		for _, id := range []nsops.ID{todo[0].Parent, todo[0].Owner} {
			if up := c.Namespaces[id]; up != nil && !seen[id] {
				seen[id] = true
				out = append(out, up)
				todo = append(todo, up)
			}
		}
	}
	return out
}
