package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/launch"
	"dx/nsops/mounts"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
)

// place is a mount point to ask about.
type place struct {
	c      container // none: the host's own
	mount  string
	fsType string
	source string
	abort  string // see abort
	root   *os.File
}

// maxPlaces bounds how many mounts are asked one by one, maxMounts how many a
// process may have here: a container can make as many as it likes.
const (
	maxPlaces = 64
	maxMounts = 1 << 14
)

// mounts asks the file systems that can hang: each that has a server by itself, the
// overlays of all containers in a few groups.
func (p *Examination) mounts(ctx context.Context) []Finding {
	p.mu.Lock()
	list := append([]container{{}}, p.kernel...)
	p.mu.Unlock()
	var out []Finding
	var alone, together []place
	for _, c := range list {
		root, infos, err := mountsOf(c)
		if root != nil {
			defer root.Close()
		}
		switch {
		case err != nil && !host.IsGone(err):
			out = append(out, found(unchecked, "mounts were not checked: %v", err).of(c))
		case err == nil:
			a, t := places(infos, c, root)
			alone, together = append(alone, a...), append(together, t...)
		}
	}
	ctx, cancel := untilAlmost(ctx)
	defer cancel()
	return append(out, ask(ctx, alone, together)...)
}

// mountsOf reads the mounts of a container's init; of dx itself for none.
func mountsOf(c container) (*os.File, []*mounts.Info, error) {
	pr, err := openOwner(c)
	if err != nil {
		return nil, nil, err
	}
	defer pr.Close()
	infos, cut, err := mounts.Read(pr)
	if err == nil && (cut || len(infos) > maxMounts) {
		err = fmt.Errorf("%s has more than %d mounts", c.Name, maxMounts)
	}
	if err != nil {
		return nil, nil, err
	}
	root, err := pr.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	return root, infos, err
}

// openOwner opens the process whose mounts are meant.
func openOwner(c container) (*proc.Process, error) {
	if c.ID == "" {
		return proc.Self()
	}
	return proc.Open(c.PID)
}

func places(infos []*mounts.Info, c container, root *os.File) (alone, together []place) {
	last := map[string]int{} // of mounts on one place only the topmost is reached
	for i, m := range infos {
		last[m.Mountpoint] = i
	}
	for i, m := range infos {
		asked, own := mayHang(m.FSType)
		if !asked || last[m.Mountpoint] != i || c.ID == "" && !own {
			continue
		}
		pl := place{c: c, mount: m.Mountpoint, fsType: m.FSType, source: m.Source, abort: abort(m), root: root}
		if own && len(alone) < maxPlaces {
			alone = append(alone, pl)
		} else if !own {
			together = append(together, pl)
		}
	}
	return alone, together
}

// groupSize is how many mounts one process asks in turn.
const groupSize = 64

// ask asks all at once. Where one of a group does not answer, those behind it are
// asked one by one in the other half of the time.
func ask(ctx context.Context, alone, together []place) []Finding {
	groups := [][]place{}
	for _, pl := range alone {
		groups = append(groups, []place{pl})
	}
	half, cancel := ctx, context.CancelFunc(func() {})
	if d, ok := ctx.Deadline(); ok {
		half, cancel = context.WithTimeout(ctx, time.Until(d)/2)
	}
	defer cancel()
	results := make(chan []Finding)
	n := len(groups)
	for _, g := range groups {
		go func() { list, _ := askGroup(ctx, g); results <- list }()
	}
	for g := range slices.Chunk(together, groupSize) {
		n++
		go func() {
			list, rest := askGroup(half, g)
			for _, pl := range rest[:min(len(rest), maxPlaces)] {
				more, _ := askGroup(ctx, []place{pl})
				list = append(list, more...)
			}
			results <- list
		}()
	}
	var out []Finding
	for range n {
		out = append(out, <-results...)
	}
	return out
}

// askGroup asks the mounts of a group in turn, up to the first that is silent. rest
// are those behind it.
func askGroup(ctx context.Context, g []place) (out []Finding, rest []place) {
	var points []launch.MountPoint
	for _, pl := range g {
		points = append(points, launch.MountPoint{Root: pl.root, Path: pl.mount})
	}
	answers, err := launch.StatFS(ctx, points)
	if err != nil {
		return []Finding{found(unchecked, "%s was not asked: %v", g[0].mount, err).of(g[0].c)}, nil
	}
	for i, a := range answers {
		switch a {
		case launch.Silent:
			return append(out, g[i].finding(mountSilent, "does not answer")), g[i+1:]
		case launch.Failed:
			if err := g[i].errno(); errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ESTALE) {
				out = append(out, g[i].finding(mountBroken, "is broken").evidence(fmt.Sprintf("statfs: %v", err)))
			}
		}
	}
	return out, nil
}

func (pl place) finding(kind Kind, what string) Finding {
	text := fmt.Sprintf("the %s mount at %s %s", pl.fsType, pl.mount, what)
	if pl.c.ID != "" {
		text = fmt.Sprintf("the %s mount at %s in %s %s", pl.fsType, pl.mount, pl.c.Name, what)
	}
	f := found(kind, "%s", text).of(pl.c).pid(pl.c.PID).path(pl.mount).evidence("mounted from " + pl.source)
	f.Abort = pl.abort
	return f
}

// errno asks again, for a file system that did answer; it need not do so twice.
func (pl place) errno() error {
	var d launch.Deputy
	defer d.Close()
	_, err := rootfs.At(pl.root, &d, pl.c.Name).Stat(pl.mount)
	return err
}
