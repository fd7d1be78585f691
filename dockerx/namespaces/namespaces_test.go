package namespaces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/e2e/standin"
	"dx/nsops"
	"dx/nsops/census"
	"dx/nsops/proc"
)

// found is a finder of containers by name, each of one process.
type found map[string]*proc.Process

func (f found) Resolve(_ context.Context, ref string) (*dockerx.Container, error) {
	p := f[ref]
	if p == nil {
		return nil, &dockerx.NotFoundError{Ref: ref}
	}
	p, err := p.Dup()
	return &dockerx.Container{Ref: ref, ID: strings.Repeat(ref[:1], 64), Name: ref, Process: p}, err
}

func (f found) Running(ctx context.Context) (list []*dockerx.Container, err error) {
	for name := range f {
		c, err := f.Resolve(ctx, name)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// two are web, in new namespaces, and db, which has joined its network.
func two(t *testing.T) found {
	t.Helper()
	standin.NeedRoot(t)
	web := standin.Cat(t, unix.CLONE_NEWNET|unix.CLONE_NEWPID|unix.CLONE_NEWUTS)
	db := standin.Child(t, standin.Cat(t, 0, "nsenter", "--net", "--target", fmt.Sprint(web.PID), "unshare", "--pid", "--fork", "--kill-child"))
	return found{"web": web, "db": db}
}

func inode(t *testing.T, p *proc.Process, ns string) uint64 {
	t.Helper()
	st, err := p.Identity("ns/" + ns)
	standin.Must(t, err)
	return st.Ino
}

// reports collects what is reported.
type reports struct {
	errs []error
	said []string
}

func (r *reports) to() Report {
	return Report{
		Error: func(err error) { r.errs = append(r.errs, err) },
		Say:   func(format string, args ...any) { r.said = append(r.said, fmt.Sprintf(format, args...)) },
	}
}

// TestGather: the kernel's links are the witness of what is read.
func TestGather(t *testing.T) {
	world := two(t)
	for name, test := range map[string]struct {
		refs          []string
		neighbours    bool
		found, others []string
		failed        bool
	}{
		"all":                   {found: []string{"db", "web"}},
		"one":                   {refs: []string{"web"}, found: []string{"web"}},
		"one, with neighbours":  {refs: []string{"web"}, neighbours: true, found: []string{"web"}, others: []string{"db"}},
		"one that there is not": {refs: []string{"no", "db"}, neighbours: true, found: []string{"db"}, others: []string{"web"}, failed: true},
		"none, plain":           {refs: []string{"no"}, failed: true},
	} {
		var r reports
		g, err := Gather(t.Context(), world, test.refs, Wish{Neighbours: test.neighbours}, r.to())
		standin.Must(t, err)
		if !slices.Equal(names(g.Found), test.found) || !slices.Equal(names(g.Others), test.others) || g.Failed != test.failed || (len(r.errs) > 0) != test.failed {
			t.Errorf("%s: found %v, others %v, failed %v (%v)", name, names(g.Found), names(g.Others), g.Failed, r.errs)
		}
		for _, s := range slices.Concat(g.Found, g.Others) {
			if got, want := s.Set.Own[nsops.Net].Inode, inode(t, world[s.Name], "net"); got != want || s.PID != world[s.Name].PID {
				t.Errorf("%s: %s is pid %d in net %d, want pid %d in %d", name, s.Name, s.PID, got, world[s.Name].PID, want)
			}
		}
	}
}

func names(list []Subject) (out []string) {
	for _, s := range list {
		out = append(out, s.Name)
	}
	slices.Sort(out)
	return out
}

// TestInside: a process of the container that is elsewhere than its init is named.
func TestInside(t *testing.T) {
	standin.NeedRoot(t)
	id := standin.ID(t, "1d01")
	dir := standin.Cgroup(t, id)[0]
	init := standin.Cat(t, unix.CLONE_NEWPID|unix.CLONE_NEWNS)
	child := standin.Child(t, standin.Cat(t, 0, "nsenter", "--pid", "--mount", "--target", fmt.Sprint(init.PID), "unshare", "--uts"))
	standin.Enter(t, dir, init)
	standin.Enter(t, dir, child)
	g, err := Gather(t.Context(), fixed{id, init}, []string{"web"}, Wish{Neighbours: true}, (&reports{}).to())
	standin.Must(t, err)
	if len(g.Found) != 1 || len(g.Found[0].Inside) != 1 || g.Found[0].Inside[0].PID != child.PID {
		t.Errorf("found %+v, want pid %d inside", g.Found, child.PID)
	}
}

// fixed is a finder of one container.
type fixed struct {
	id   string
	init *proc.Process
}

func (f fixed) Resolve(_ context.Context, ref string) (*dockerx.Container, error) {
	p, err := f.init.Dup()
	return &dockerx.Container{Ref: ref, ID: f.id, Name: ref, Process: p}, err
}

func (f fixed) Running(context.Context) ([]*dockerx.Container, error) {
	return nil, errors.New("no engine")
}

// worldOf is a census of the containers of a finder.
func worldOf(t *testing.T, f found) *World {
	t.Helper()
	list, err := f.Running(t.Context())
	standin.Must(t, err)
	w := &World{Containers: list}
	t.Cleanup(w.Close)
	return w
}

// TestChoose: the namespaces of those that were asked for, and of no other.
func TestChoose(t *testing.T) {
	f := two(t)
	w := worldOf(t, f)
	standin.Must(t, w.Ask(t.Context(), f, "db"))
	var missing *dockerx.NotFoundError
	if err := w.Ask(t.Context(), f, "no"); !errors.As(err, &missing) || len(w.Refs) != 1 {
		t.Errorf("a container that there is not: %v, %v", err, w.Refs)
	}
	standin.Must(t, w.Take(false))
	has := map[uint64]bool{}
	for _, ns := range w.Choose(Choice{}) {
		has[ns.ID.Inode] = true
	}
	for ns, want := range map[uint64]bool{
		inode(t, f["db"], "pid"): true, inode(t, f["db"], "net"): true, inode(t, f["web"], "pid"): false, inode(t, f["web"], "uts"): false,
	} {
		if has[ns] != want {
			t.Errorf("namespace %d is chosen: %v, want %v", ns, has[ns], want)
		}
	}
	above := false
	for _, ns := range w.Choose(Choice{Tree: true}) {
		above = above || ns.Type == nsops.PID && ns.ID.Inode != inode(t, f["db"], "pid")
	}
	if !above {
		t.Error("a tree has nothing above a container's PID namespace")
	}
}

// TestFind: by number, by a path, and nothing where there is none.
func TestFind(t *testing.T) {
	f := two(t)
	w := worldOf(t, f)
	standin.Must(t, w.Take(true))
	net := inode(t, f["web"], "net")
	for ref, want := range map[string]bool{
		fmt.Sprintf("inode:%d", net): true, fmt.Sprintf("net:[%d]", net): true, fmt.Sprintf("pid:[%d]", net): false,
		fmt.Sprintf("/proc/%d/ns/net", f["db"].PID): true,
	} {
		r, err := OpenRef(ref)
		standin.Must(t, err)
		list, _ := w.Find(r)
		if got := len(list) == 1 && list[0].ID.Inode == net; got != want {
			t.Errorf("%s: %v, want %v", ref, list, want)
		}
		r.Close()
	}
	ns := w.Census.Namespaces[nsops.ID{Device: device(t), Inode: net}]
	if got := containers(w, ns); !slices.Equal(got, []string{"db", "web"}) {
		t.Errorf("in net %d are %v, want both", net, got)
	}
}

func device(t *testing.T) uint64 {
	t.Helper()
	var st unix.Stat_t
	standin.Must(t, unix.Stat("/proc/self/ns/net", &st))
	return st.Dev
}

func containers(w *World, ns *census.Namespace) (out []string) {
	for _, at := range ns.Members {
		if in := w.In[at]; in >= 0 {
			out = append(out, w.Containers[in].Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
