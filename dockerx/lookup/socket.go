package lookup

import (
	"fmt"
	"slices"

	"dx/dockerx"
	"dx/nsops/proc"
)

// matchSocket finds who has a socket open: the first process of each container.
func (t *Finder) matchSocket(q Query) ([]Hit, string, error) {
	x, err := t.index()
	if err != nil {
		return nil, "", err
	}
	var hits []Hit
	seen := map[*dockerx.Container]bool{}
	tried := fmt.Sprintf("no process that dx may look at has socket %d open", q.Inode)
	err = proc.Each(func(p *proc.Process) error {
		inodes, err := p.Sockets()
		if err != nil || !slices.Contains(inodes, q.Inode) {
			return ignore(err)
		}
		a, err := x.Of(p)
		if err != nil {
			return ignore(err)
		}
		stat, err := p.Stat()
		if err != nil {
			return ignore(err)
		}
		tried = fmt.Sprintf("process %d (%s), which has socket %d open, is in no container", p.PID, stat.Comm, q.Inode)
		for _, c := range t.these(a.In) {
			if !seen[c] {
				hits = append(hits, Hit{Socket, c, fmt.Sprintf("its process %d (%s) has it open", p.PID, stat.Comm)})
			}
			seen[c] = true
		}
		if len(a.In) > 0 || stat.Comm != proxyName {
			return nil
		}
		forwarded, err := t.ofProxy(p)
		for _, h := range forwarded {
			h.Kind = Socket
			hits = append(hits, h)
		}
		return err
	})
	return hits, tried, err
}
