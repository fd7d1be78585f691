package doctor

import (
	"fmt"
	"strings"

	"dx/nsops/escape"
)

// steps says what to do about a cause, the safest first: what works meanwhile,
// what only looks, what resumes, what loses something.
func steps(f Finding, e Engine) []Step {
	list := []Step{meanwhile(f)}
	list = append(list, looking(f, e)...)
	return append(list, mending(f, e)...)
}

// meanwhile is what works as it is.
func meanwhile(f Finding) Step {
	of := "NAME"
	switch {
	case (f.Kind == nameTwice || f.Kind == noRecord) && len(f.ID) >= 12:
		of = name(Finding{ID: f.ID[:12]})
	case f.Container != "":
		of = name(f)
	}
	switch f.Kind {
	case containerFrozen, initRole.is(stopped), initRole.is(traced):
		return Step{Why: "look at its processes as they stand", Command: "dx --source host top " + of}
	case initExiting, initZombie, noProcess, pidRecycled, pidsLimit:
		return Step{Why: "see what really runs", Command: "dx --source host ps"}
	}
	return Step{Why: "enter containers without Docker meanwhile", Command: "dx --source host exec -it " + of + " sh"}
}

// looking is what tells more and changes nothing that lasts.
func looking(f Finding, e Engine) []Step {
	switch {
	case f.Kind == otherSilent || f.Kind == criSilent || f.Kind == crioSilent || f.Kind == podmanSilent:
		return []Step{{Why: "see where its threads are in the kernel", Command: fmt.Sprintf("cat /proc/%d/task/*/stack", f.PID)}}
	case f.Kind.isOne(traced, append([]role{dockerdRole, containerdRole, shimRole, initRole}, otherRoles...)...):
		return []Step{{Why: "see who traces it", Command: fmt.Sprintf("grep TracerPid /proc/%d/status", f.PID)}}
	case f.Kind.isOne(noFiles, daemons...):
		return []Step{{Why: "see what is open", Command: fmt.Sprintf("ls -l /proc/%d/fd", f.PID)}}
	case f.Kind == runtimeStuck, f.Kind.isOne(blocked, dockerdRole, containerdRole, shimRole, initRole):
		return []Step{{Why: "see where in the kernel", Command: fmt.Sprintf("cat /proc/%d/task/*/stack", f.PID)}}
	}
	switch f.Kind {
	case dockerdSilent, listSilent, containerLock, backlogFull, tasksSilent, containerdSilent, shimSilent:
		return []Step{{Why: "see what the goroutines wait for (SIGUSR1: they write it down and go on)", Command: "dx doctor --dump" + onHost(e)}}
	case storageFull:
		return []Step{
			{Why: "see what fills it", Command: "du -xh --max-depth=2 " + escape.Shell(f.Path) + " | sort -h | tail"},
			{Why: "see what Docker could give back", Command: dockerCommand(e, "system df")},
		}
	case storageReadOnly:
		return []Step{{Why: "see why the kernel made it read-only", Command: "dmesg | grep -iE 'remount|I/O error' | tail"}}
	case dockerdAbsent:
		return []Step{{Why: "see how it ended", Command: "journalctl -u " + unit(e.Unit, "docker.service") + " -n 50"}}
	case containerdAbsent:
		return []Step{{Why: "see how it ended", Command: "journalctl -u " + unit(e.ContainerdUnit, "containerd.service") + " -n 50"}}
	case socketPermission:
		return []Step{{Why: "see who may", Command: "ls -l " + escape.Shell(f.Path)}}
	case memoryLimit, pidsLimit:
		return []Step{{Why: "see its processes", Command: "dx --source host top " + name(f)}}
	case restartLoop:
		return []Step{{Why: "see what it says before it ends", Command: dockerCommand(e, "logs --tail 50 "+name(f))}}
	case oomKilled:
		return []Step{{Why: "see whom the kernel has chosen, and why", Command: "dmesg | grep -iE 'oom|killed process' | tail"}}
	}
	return nil
}

// mending is what changes something, the mildest first. Who ends something does so for
// what was seen of it, not for what was not.
func mending(f Finding, e Engine) []Step {
	switch {
	case f.Kind.isOther():
		return mendOther(f)
	case f.Kind.isOne(stopped, daemons...):
		return append([]Step{goOn(f)}, restart(f, e)...)
	case f.Kind == initRole.is(stopped):
		return []Step{goOn(f)}
	case f.Kind.isOne(traced, dockerdRole, containerdRole, shimRole, initRole):
		return []Step{endDebugger(f)}
	case f.Kind.isOne(frozen, daemons...):
		return []Step{change("thaw its cgroup", thaw(f.Path))}
	case f.Kind == initRole.is(blocked):
		return nil // nobody ends it
	}
	switch f.Kind {
	case containerFrozen:
		return []Step{change("thaw it: Docker does not know that it is frozen", thaw(f.Path))}
	case shimMissing, noRecord:
		return []Step{change("end the container by the kernel", fmt.Sprintf("kill %d", f.PID))}
	case noProcess, pidRecycled, initZombie:
		return []Step{change("let Docker find out; nothing is removed", dockerCommand(e, "stop "+name(f)))}
	case initExiting:
		return killWaiter(f)
	case runtimeStuck:
		return []Step{change("end it; the operation it belongs to fails", fmt.Sprintf("kill %d", f.PID))}
	case storageFull:
		return []Step{change("remove what nothing uses any more (images, stopped containers stay)", dockerCommand(e, "image prune"))}
	case storageReadOnly:
		return []Step{change("check the disk, then", "mount -o remount,rw "+escape.Shell(f.Path))}
	case mountSilent, mountBroken:
		return giveUpMount(f, e)
	case socketPermission:
		return []Step{change("ask as root", "sudo dx doctor"+onHost(e)), change("or be let in for good (that is as good as root)", "sudo usermod -aG docker $USER")}
	case memoryLimit, oomKilled:
		return []Step{change("raise its limit", dockerCommand(e, "update --memory SIZE --memory-swap SIZE "+name(f)))}
	case pidsLimit:
		return []Step{change("raise its limit", dockerCommand(e, "update --pids-limit N "+name(f)))}
	case restartLoop:
		return []Step{change("or let it rest", dockerCommand(e, "stop "+name(f)))}
	case containerLock:
		if !e.LiveRestore {
			return nil // all containers, for the sake of one
		}
	case stateStale, nameTwice, engineRefuses, probeLate, noDocker, unchecked, info, tasksSilent:
		return nil
	}
	return restart(f, e)
}

func goOn(f Finding) Step {
	return change("resume it; nothing is lost", fmt.Sprintf("kill -CONT %d", f.PID))
}

// dockerCommand is a command of docker's for the engine that was asked.
func dockerCommand(e Engine, command string) string { return "docker" + onHost(e) + " " + command }

func change(why, command string) Step { return Step{Why: why, Command: command, Changes: true} }

// restart is the last resort for a layer, and says what it costs.
func restart(f Finding, e Engine) []Step {
	switch f.Layer {
	case LayerShim:
		return []Step{change("kill this one shim: its container ends, the others live", fmt.Sprintf("kill -KILL %d", f.PID))}
	case LayerContainerd:
		if e.Supervised {
			return []Step{change("kill containerd: dockerd starts it again, containers live on", fmt.Sprintf("kill -KILL %d", f.PID))}
		}
		return []Step{change("restart containerd: containers live on", "systemctl restart "+unit(e.ContainerdUnit, "containerd.service"))}
	}
	if e.Doubt != "" && e.PID == 0 {
		return nil // it is elsewhere
	}
	if e.Doubt != "" {
		return []Step{change(fmt.Sprintf("restart what listens in dockerd's place: pid %d, called %q", e.PID, e.Process), "")}
	}
	cost := "restart dockerd: all containers are stopped (no --live-restore)"
	if e.LiveRestore {
		cost = "restart dockerd: containers live on (--live-restore)"
	}
	if f.Kind == dockerdAbsent {
		cost = "start dockerd"
	}
	if e.PID != 0 && e.Unit == "" {
		return []Step{change(cost+"; it is no systemd service: start it again as it was started", fmt.Sprintf("kill %d", e.PID))}
	}
	return []Step{change(cost, "systemctl restart "+unit(e.Unit, "docker.service"))}
}

// name is the container as a command takes it. What would be an option there is nobody's
// name (moby, daemon/names), but a bundle's directory can be called so.
func name(f Finding) string {
	for _, ref := range []string{f.Container, f.ID} {
		if ref != "" && !strings.HasPrefix(ref, "-") {
			return escape.Shell(ref)
		}
	}
	return "NAME"
}

func unit(found, usual string) string {
	if found != "" {
		return escape.Shell(found)
	}
	return usual
}

func onHost(e Engine) string {
	if e.Host == "" || e.Host == "unix:///var/run/docker.sock" {
		return ""
	}
	return " -H " + escape.Shell(e.Host)
}

func thaw(cgroup string) string {
	if strings.HasSuffix(cgroup, "freezer.state") {
		return "echo THAWED >" + escape.Shell(cgroup)
	}
	return "echo 0 >" + escape.Shell(cgroup)
}

func killWaiter(f Finding) []Step {
	if f.PID == 0 {
		return nil
	}
	return []Step{change("end the process outside that has not reaped the last one", fmt.Sprintf("kill -KILL %d", f.PID))}
}

// giveUpMount names no program of the container's: `nsenter -m umount` would run the
// container's umount, as root of the host.
func giveUpMount(f Finding, e Engine) []Step {
	list := []Step{change("bring its server back; who waits then goes on", "")}
	if f.Abort != "" {
		list = append(list, change("or end the connection to it, wherever it is mounted: who waits gets an error", "echo 1 >"+escape.Shell(f.Abort)))
	}
	of := "host"
	if f.ID != "" {
		of = f.Container
	}
	return append(list, change("or take it out of sight: who waits goes on waiting, nobody else begins to", "dx doctor"+onHost(e)+" --unmount "+escape.Shell(of+":"+f.Path)))
}
