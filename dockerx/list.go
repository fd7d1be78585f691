package dockerx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/docker/go-units"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
)

// Listed is a container of a list: what the kernel runs, what the engine knows,
// or both.
type Listed struct {
	ID, Name, Image string
	PID             int    // 0: no process
	State           string // docker's: running, paused, exited, created…
	Status          string // "Up 3 minutes", and what does not fit
	StartedAt       time.Time
	Engine          string // the engine's address; of one that was not asked, what tells it apart
	Source          Source
	Labels          map[string]string
	Sandbox         bool // it holds a pod's namespaces, and runs nothing of the user's

	// Namespace and Pod are Kubernetes'; empty of any other container.
	Namespace, Pod string

	// Reference is a qualified one that means the container: "k8s:prod/nginx-x2z9k/web".
	Reference string

	// What docker ps has besides. Of a container that is not Docker's none is known.
	Created  time.Time
	Command  string // with its arguments
	ImageID  string
	Ports    docker.Ports
	Networks map[string]string // their IDs by their names
	Mounts   []docker.Mount

	bare   string            // see BareName
	stored *docker.Container // Docker's files, which tell more; nil: the engine has told
}

// BareName returns its name by itself, also where Name has to say whose it is.
func (l *Listed) BareName() string { return cmp.Or(l.bare, l.Name) }

// UnseenError says that a list has what could be seen, and that this may not be all.
type UnseenError struct {
	Engine string // which may not be asked
	Hidden int    // processes that may not be looked at
	Err    error  // of the engine; nil: it was not asked
}

func (e *UnseenError) Error() string {
	hidden := fmt.Sprintf("%s: other containers may run", notLookedAt(e.Hidden))
	if e.Err == nil {
		return "only the host was asked, and " + hidden
	}
	return fmt.Sprintf("the engine at %s may not be asked, and %s", e.Engine, hidden)
}

// shownText is "1 container is shown".
func shownText(n int) string {
	if n == 1 {
		return "1 container is shown"
	}
	return fmt.Sprintf("%d containers are shown", n)
}

// notLookedAt says of how many processes nothing is known, and for want of what. Root has not
// every right in a container.
func notLookedAt(hidden int) string {
	what := "root"
	if os.Geteuid() == 0 {
		what = lookingTakes
	}
	return fmt.Sprintf("%d processes may not be looked at without %s", hidden, what)
}

// lookingTakes is the right to look at any process (ptrace(2), "access mode checking").
const lookingTakes = "CAP_SYS_PTRACE"

// sudo is what to run dx with.
func sudo() string {
	if os.Geteuid() == 0 {
		return lookingTakes
	}
	return "sudo"
}

// Unwrap is not Err: what can be done is not what can be done about one file.
func (e *UnseenError) Unwrap() error { return fs.ErrPermission }

// List lists running containers, or all: the kernel's side from the host, the
// engine's from its list, which answers also while a container's lock is held.
// Where the two contradict each other, the status says so. With an UnseenError, what
// could be seen is returned as well.
func (r *Resolver) List(ctx context.Context, all bool) ([]Listed, error) {
	known := r.askKnown(ctx, true)
	l, err := r.listHost()
	if err != nil {
		<-known
		return nil, err
	}
	defer l.Close()
	l.AddOrphans()
	early := r.showEarly(l)
	early.readFreezers()
	told := <-known
	if told.err != nil {
		early.close()
		switch elsewhere := r.whose().elsewhere; {
		case r.from == SourceEngine:
			return nil, told.err
		case elsewhere != "":
			return nil, r.otherHost(elsewhere)
		}
		r.instead(told.err)
	}
	var list []Listed
	if all && r.from != SourceEngine {
		l.AddStopped()
	}
	if r.from == SourceHost || told.err != nil {
		list = r.listHosts(l)
	} else {
		list = r.listBoth(l, early, told.value)
	}
	if all && r.from != SourceEngine {
		list = append(list, r.stopped(l)...)
	}
	if !all {
		list = slices.DeleteFunc(list, func(l Listed) bool { return !runs(l.State) || l.Sandbox })
	}
	// The engine's own order is by more than the seconds that it tells.
	slices.SortStableFunc(list, func(a, b Listed) int { return b.age().Compare(a.age()) })
	if errors.Is(told.err, fs.ErrPermission) && l.Hidden > 0 {
		return list, &UnseenError{Engine: r.engine.Host(), Hidden: l.Hidden, Err: told.err}
	}
	if r.from == SourceHost && l.Hidden > 0 {
		return list, &UnseenError{Hidden: l.Hidden}
	}
	return list, nil
}

func runs(state string) bool { return state == "running" || state == "paused" || state == "restarting" }

// askKnown asks for the engine's list, which comes while the host is looked at;
// an empty one where only the host is asked.
func (r *Resolver) askKnown(ctx context.Context, all bool) <-chan answer[[]engine.Summary] {
	known := make(chan answer[[]engine.Summary], 1)
	if r.from == SourceHost {
		known <- answer[[]engine.Summary]{}
		return known
	}
	go func() {
		list, err := r.list(ctx, all)
		known <- answer[[]engine.Summary]{list, err}
	}()
	return known
}

// listHosts is the list where no engine has told anything.
func (r *Resolver) listHosts(l *host.Listing) []Listed {
	l.AddRecorded(r.daemons())
	s := r.shownOn(l.Found)
	defer s.close()
	s.report(r)
	s.readFreezers()
	call := r.callers(r.listSituation(false), l.Found) // also those that do not run
	var out []Listed
	shown := map[*host.Found]bool{}
	for _, c := range s.list {
		shown[c.found] = true
		one := listedOf(c)
		one.called(c.found, call)
		out = append(out, one)
	}
	for _, f := range l.Found {
		if d := f.Docker(); d != nil && !shown[f] {
			one := storedOne(d)
			one.called(f, call)
			if runs(one.State) && one.State != "restarting" {
				one.Status += noProcess(l)
			}
			out = append(out, one)
		}
	}
	return out
}

// stopped are the containers of other engines than Docker that do not run.
func (r *Resolver) stopped(l *host.Listing) (out []Listed) {
	bearers := map[string]int{}
	for _, f := range l.Found {
		bearers[f.Called()]++
	}
	for _, f := range l.Found {
		s := f.Stopped()
		if s == nil {
			continue
		}
		one := Listed{
			ID: f.ID, State: s.State, Status: statusOf(s), Created: s.Created, Name: f.Qualified(), Image: f.Image(), Engine: f.EngineName(),
			Source: SourceHost, Sandbox: f.Pod().Sandbox, Namespace: f.Pod().Namespace, Pod: f.Pod().Name, Reference: f.Qualified(),
		}
		if called := f.Called(); bearers[called] == 1 {
			one.Name, one.Reference = called, called
		}
		out = append(out, one)
	}
	return out
}

// statusOf has no more than the files tell: how long ago, where they have the time.
func statusOf(s *host.Stopped) string {
	switch {
	case s.State == "created":
		return "Created"
	case s.Finished.IsZero():
		return "Exited"
	}
	return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, units.HumanDuration(time.Since(s.Finished)))
}

// noProcess is what is said of one that should run and was not found.
func noProcess(l *host.Listing) string {
	if l.Hidden > 0 {
		return " (unverified)"
	}
	return " (no such process)"
}

// called takes what the container is called, and whose it is.
func (l *Listed) called(f *host.Found, call callers) {
	l.Name, l.Engine, l.Source, l.Image = call.call(f), f.EngineName(), SourceHost, f.Image()
	pod := f.Pod()
	l.Sandbox, l.Namespace, l.Pod = pod.Sandbox, pod.Namespace, pod.Name
	l.Reference, l.bare = call.qualified(f), f.Name()
	l.Command = joined(f.Command())
	if d := f.Docker(); d != nil {
		l.recorded(d)
	}
}

func listedOf(c *shownContainer) Listed {
	l := Listed{ID: c.ID, PID: c.Process.PID, State: "running"}
	if started, err := c.Process.Started(); err == nil {
		l.StartedAt = started.Truncate(time.Second)
		l.Status = "Up " + units.HumanDuration(time.Since(started))
	}
	if c.Paused() {
		l.State = "paused"
		l.Status += " (Paused)"
	}
	if c.found.Orphan || c.found.Recorded() {
		l.Status += " (its shim has died)"
	}
	return l
}

// storedOne puts Docker's files in the terms of the engine's list.
func storedOne(d *docker.Container) Listed {
	l := Listed{ID: d.ID}
	ended := fmt.Sprintf("(%d) %s ago", d.State.ExitCode, units.HumanDuration(time.Since(d.State.FinishedAt)))
	switch s := d.State; {
	case s.Running && s.Restarting:
		l.State, l.Status = "restarting", "Restarting "+ended
	case s.Running && s.Paused:
		l.State, l.Status = "paused", "Up (Paused)"
	case s.Running:
		l.State, l.Status = "running", "Up"
	case s.RemovalInProgress:
		l.State, l.Status = "removing", "Removal In Progress"
	case s.Dead:
		l.State, l.Status = "dead", "Dead"
	case s.StartedAt.IsZero():
		l.State, l.Status = "created", "Created"
	default:
		l.State, l.Status = "exited", "Exited "+ended
	}
	return l
}

// listBoth joins the engine's list and what the host shows, which it closes.
func (r *Resolver) listBoth(l *host.Listing, s *shown, known []engine.Summary) []Listed {
	defer s.close()
	s.report(r)
	r.addRecorded(l, s, known)
	var out []Listed
	unverified := 0
	for _, k := range known {
		one := Listed{ID: k.ID, State: k.State, Status: k.Status}
		c := s.take(r, k.ID)
		switch {
		case c != nil:
			one = listedOf(c)
			one.Status = healthy(one, healthIn(k.Status))
			if !runs(k.State) {
				one.Status += fmt.Sprintf(" (known as %s)", k.State)
			}
		case k.State != "running" && k.State != "paused":
		case l.Hidden > 0 || r.doubt() != nil || r.own() == host.Engine{}:
			one.Status += " (unverified)"
			unverified++
		default:
			one.Status += " (no such process)"
		}
		one.told(k)
		one.Engine, one.Reference = r.engine.Host(), "docker:"+k.Name
		if c != nil && c.found.Engine().Owner != 0 {
			one.Reference = c.found.Called()
		}
		out = append(out, one)
	}
	if unverified > 0 && l.Hidden > 0 {
		r.warn(fmt.Sprintf("%s by the engine's word alone (unverified): %s; with %s dx sees the kernel's side", shownText(unverified), notLookedAt(l.Hidden), sudo()))
	}
	left := s.left()
	if r.from == SourceEngine || len(left) == 0 || remote(r.engine.Host()) != "" {
		return out
	}
	call := r.callers(r.listSituation(true), s.found())
	for _, c := range left {
		one := listedOf(c)
		one.called(c.found, call)
		if c.found.Engine().Docker {
			one.Status += " (unknown to the engine)"
		}
		out = append(out, one)
	}
	return out
}

// addRecorded adds those that the engine calls running and that no shim shows.
func (r *Resolver) addRecorded(l *host.Listing, s *shown, known []engine.Summary) {
	missing := map[string]bool{}
	for _, k := range known {
		if runs(k.State) && s.of(r, k.ID) == nil {
			missing[k.ID] = true
		}
	}
	more := r.shownOn(r.recordedOf(l, missing))
	more.report(r)
	for _, c := range more.list {
		s.add(c)
	}
}
