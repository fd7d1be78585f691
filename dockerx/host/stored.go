package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/nsops"
	"dx/nsops/proc"
)

// defaultContainers is where dockerd keeps its containers if nobody says otherwise.
const defaultContainers = "/var/lib/docker/containers"

// Stored reads what Docker keeps of all its containers, also of those that do not
// run: from the data roots of those that were found, and from the default one. What
// cannot be read is reported to warn and hides nothing else.
func Stored(found []*Found, warn func(error)) []*docker.Container {
	var out []*docker.Container
	for _, f := range found {
		if d := f.Docker(); d != nil {
			out = append(out, d)
		}
	}
	for _, f := range Recorded(found, nil, warn) {
		out = append(out, f.docker)
	}
	return out
}

// Recorded returns the containers that only Docker's files tell of: those in the data
// roots of what was found, of dockerds, and in the default one, which are not among what
// was found. One that its files call running has the PID that they name, which nobody has
// verified.
func Recorded(found []*Found, daemons []Daemon, warn func(error)) []*Found {
	s := stored{warn: warn, known: map[recordKey]bool{}, seen: map[nsops.ID]bool{}}
	s.visit = s.in
	s.walk(found, daemons)
	return s.out
}

// walk visits the data roots, each once.
func (s *stored) walk(found []*Found, daemons []Daemon) {
	roots := []string{defaultContainers}
	for _, f := range found {
		d := f.Docker()
		if d == nil || f.Engine().Owner != 0 { // where a plain user's files lie is not for dx to go
			continue
		}
		s.known[recordKey{f.Engine(), f.ID}] = true
		if f.above == nil || f.above.containers == nil || f.above.containers.id != f.root {
			roots = append(roots, path.Dir(path.Dir(d.Origin)))
		}
	}
	for _, f := range found {
		s.ofBundlesDir(f.above)
	}
	for _, d := range daemons {
		s.ofDaemon(d)
	}
	seen := map[string]bool{}
	for _, root := range roots {
		if seen[root] {
			continue
		}
		seen[root] = true
		fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			s.report(fmt.Errorf("open %s: %w", root, err))
			continue
		}
		s.take(handle{fd: fd, path: root})
	}
}

// recordKey tells containers apart.
type recordKey struct {
	engine Engine
	id     string
}

type stored struct {
	warn  func(error)
	visit func(handle) // of a directory of containers that is Docker's
	known map[recordKey]bool
	seen  map[nsops.ID]bool // data roots
	out   []*Found
}

func (s *stored) report(err error) {
	if !errors.Is(err, fs.ErrNotExist) { // removed meanwhile, or not there at all
		s.warn(err)
	}
}

// ofBundlesDir takes the data root to which a container of the directory has led, as it is open.
func (s *stored) ofBundlesDir(f *bundlesDir) {
	if f == nil || f.containers == nil {
		return
	}
	if dir, err := f.containers.dup(); err == nil {
		s.take(dir)
	}
}

// ofDaemon opens a data root as its dockerd has it: in another mount namespace the path
// means something else here.
func (s *stored) ofDaemon(d Daemon) {
	if s.seen[d.At] {
		return
	}
	p, err := proc.Open(d.PID)
	if err != nil {
		return
	}
	defer p.Close()
	if !d.Is(p) {
		return // it has ended, and its number is another's
	}
	root, err := p.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer root.Close()
	dir, err := handleIn(root, d.Root+"/containers")
	if err != nil {
		s.report(err)
		return
	}
	s.take(dir)
}

// take visits a data root that was not met yet, and closes it.
func (s *stored) take(dir handle) {
	defer dir.close()
	at := dir.at()
	if s.seen[at] {
		return
	}
	s.seen[at] = true
	var st unix.Stat_t
	if err := unix.Fstat(dir.fd, &st); err != nil || !trusted(&st) {
		return // not Docker's, whatever it is
	}
	s.visit(dir)
}

// in reads the containers of one data root that are not known yet.
func (s *stored) in(dir handle) {
	names, err := dir.names()
	if err != nil {
		s.report(err)
		return
	}
	whose := Engine{Docker: true, At: dir.at()}
	for _, name := range names {
		if !docker.IsID(name) || s.known[recordKey{whose, name}] {
			continue
		}
		d, err := readConfig(dir, name)
		if err != nil {
			s.report(err)
			continue
		}
		f := FoundIn(d)
		f.engine, f.root, f.recorded = whose, whose.At, true
		if d.State.Running {
			f.PID = d.State.Pid
		}
		s.out = append(s.out, f)
	}
}
