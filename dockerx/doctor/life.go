package doctor

import (
	"context"
	"fmt"
	"time"

	"dx/dockerx/docker"
)

// A container that ends soon after each start counts as in a loop from loopFrom restarts
// on, and until it has run for loopPause: Docker itself waits a minute at the most between
// two starts, and begins anew with its count of the pauses after ten seconds (moby,
// restartmanager).
const (
	loopFrom  = 3
	loopPause = 10 * time.Minute
)

// lifeFindings are about how a container has lived, by Docker's own count.
func lifeFindings(d *docker.Container, now time.Time) []Finding {
	self := container{ID: d.ID, Name: d.Name}
	var out []Finding
	restarts := fmt.Sprintf("%s has been restarted %s", d.Name, times(d.RestartCount))
	switch {
	case d.RestartCount < loopFrom:
	case d.State.Restarting, d.State.Running && now.Sub(d.State.StartedAt) < loopPause:
		out = append(out, found(restartLoop, "%s and does not stay up", restarts).of(self).
			evidence(fmt.Sprintf("%s: RestartCount %d, ExitCode %d", d.Origin, d.RestartCount, d.State.ExitCode)))
	default:
		out = append(out, found(info, "%s", restarts).of(self))
	}
	if !d.State.OOMKilled || d.State.Running && !d.State.Restarting {
		return out // of one that runs, its cgroup counts
	}
	f := found(info, "the last run of %s was ended by the kernel's OOM killer", d.Name)
	if d.State.Restarting {
		f = found(oomKilled, "%s", f.Text)
	}
	return append(out, f.of(self).evidence(d.Origin+": OOMKilled"))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// life looks at what the engine has said of each container; of one that it said nothing
// of, at what it has written down.
func (p *Examination) life(context.Context) []Finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	said := map[string]*docker.Container{}
	for _, c := range p.kernel {
		if d := c.found.Docker(); d != nil {
			said[d.ID] = d
		}
	}
	for _, d := range p.details {
		said[d.ID] = d
	}
	var out []Finding
	now := time.Now()
	for _, d := range said {
		out = append(out, lifeFindings(d, now)...)
	}
	return out
}
