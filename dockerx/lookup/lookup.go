package lookup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"dx/dockerx"
	"dx/nsops/launch"
	"dx/nsops/proc"
)

// Hit is a container that an argument belongs to.
type Hit struct {
	Kind      Kind
	Container *dockerx.Container
	Evidence  string // in words; names in it may be a container's choice
}

// UnknownError says that an argument belongs to no container.
type UnknownError struct {
	Arg   string
	Tried []string // in words, what it was taken for
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s belongs to no running container: %s", e.Arg, strings.Join(e.Tried, "; "))
}

// Finder answers for a set of containers. What it reads of them it reads once, when a
// query first needs it. It closes none of them.
type Finder struct {
	containers []*dockerx.Container
	facts      facts
	unread     []string
	deputy     launch.Deputy // looks at paths
	kept       func() Kept   // see AskOfStopped
}

// New makes a Finder for running containers.
func New(containers []*dockerx.Container) *Finder { return &Finder{containers: containers} }

// Unread says, in words, what could not be looked at for lack of rights, so that it
// may have hidden an answer.
func (t *Finder) Unread() []string { return t.unread }

// Find finds the containers that an argument belongs to: an UnknownError if there is
// none.
func (t *Finder) Find(arg string) ([]Hit, error) {
	queries, err := Parse(arg)
	if err != nil {
		return nil, err
	}
	unknown := &UnknownError{Arg: arg}
	for _, q := range queries {
		hits, tried, err := t.match(q)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arg, err)
		}
		if len(hits) > 0 {
			return hits, nil
		}
		unknown.Tried = append(unknown.Tried, tried)
	}
	if len(t.containers) == 0 {
		unknown.Tried = []string{"no container runs"}
	}
	return nil, unknown
}

// match returns the hits of a query, or in words why there is none.
func (t *Finder) match(q Query) (hits []Hit, tried string, err error) {
	switch q.Kind {
	case PID:
		return t.matchPID(q)
	case Inode:
		return t.matchInode(q)
	case Interface:
		return t.matchInterface(q)
	case IP:
		return t.matchIP(q)
	case Cgroup:
		return t.matchCgroup(q)
	case Path:
		return t.matchPath(q)
	case Port:
		return t.matchPort(q)
	case Socket:
		return t.matchSocket(q)
	}
	return nil, "", fmt.Errorf("kind %q is not known", q.Kind)
}

// cannot notes an error that only means that something stays unknown. What is gone is
// not missed.
func (t *Finder) cannot(c *dockerx.Container, what string, err error) error {
	switch {
	case err == nil, errors.Is(err, proc.ErrGone), ended(c.Process):
		return nil
	case errors.Is(err, fs.ErrPermission):
		if line := c.Name + "'s " + what; !slices.Contains(t.unread, line) {
			t.unread = append(t.unread, line)
		}
		return nil
	}
	return fmt.Errorf("%s's %s: %w", c.Name, what, err)
}

// ended reports whether a process has begun to end since it was opened, also if nobody has
// waited for it: its namespaces and cgroups are gone then, and files of its directory are
// missing.
func ended(p *proc.Process) bool {
	if p.Alive() != nil {
		return true
	}
	st, err := p.Stat()
	return err != nil || st.Exiting()
}

func (t *Finder) matchCgroup(q Query) ([]Hit, string, error) {
	x, err := t.index()
	if err != nil {
		return nil, "", err
	}
	path := cgroupPath(q.Name)
	in, base := x.InCgroup(path)
	var hits []Hit
	for _, c := range t.these(in) {
		hits = append(hits, Hit{Cgroup, c, "its cgroup is " + base})
	}
	return hits, fmt.Sprintf("no container's cgroup is %s or above it", path), nil
}
