package doctor

import "slices"

// Kind names what a finding is about. That of a process which a container needs is the
// role of that process and its condition: "shim-stopped".
type Kind string

// role is what a process is to Docker.
type role string

const (
	dockerdRole    role = "dockerd"
	containerdRole role = "containerd"
	shimRole       role = "shim"
	initRole       role = "init" // of a container
)

// daemons are the roles whose limits and pressure count: what a container's init may
// have is the container's own matter.
var daemons = []role{dockerdRole, containerdRole, shimRole}

// condition is how a process is that does not do its work.
type condition string

const (
	stopped condition = "stopped"
	traced  condition = "traced"
	frozen  condition = "frozen"  // by its cgroup
	blocked condition = "blocked" // threads in uninterruptible sleep
	noFiles condition = "files"   // at its limit of open files
	atLimit condition = "limit"   // its cgroup is at its memory or pids limit
	starved condition = "starved" // pressure stalls all of its cgroup
)

// standing are the conditions in which a process does nothing at all, and in which the
// kernel says so.
var standing = []condition{stopped, traced, frozen}

// is names a role's condition.
func (r role) is(c condition) Kind { return Kind(string(r) + "-" + string(c)) }

// cross names each condition of each role, one condition after the other.
func cross(conditions []condition, roles ...role) []Kind {
	var out []Kind
	for _, c := range conditions {
		for _, r := range roles {
			out = append(out, r.is(c))
		}
	}
	return out
}

// isOne reports whether a kind is a condition of one of those roles.
func (k Kind) isOne(c condition, roles ...role) bool {
	return slices.ContainsFunc(roles, func(r role) bool { return r.is(c) == k })
}

// The kinds that are no condition of a process.
const (
	socketPermission Kind = "socket-permission"
	socketUnlinked   Kind = "socket-unlinked"
	dockerdAbsent    Kind = "dockerd-absent"
	containerdAbsent Kind = "containerd-absent"
	containerdSilent Kind = "containerd-silent"

	backlogFull   Kind = "backlog-full"
	dockerdSilent Kind = "dockerd-silent" // it takes connections and answers nothing
	listSilent    Kind = "list-silent"    // ping answers, the list does not

	mountSilent     Kind = "mount-silent"
	storageFull     Kind = "storage-full"
	storageReadOnly Kind = "storage-read-only"

	shimSilent  Kind = "shim-silent"
	shimRefuses Kind = "shim-refuses" // nobody listens on its socket
	shimMissing Kind = "shim-missing"

	initExiting  Kind = "init-exiting" // in zap_pid_ns_processes
	runtimeStuck Kind = "runc-left-over"

	tasksSilent   Kind = "tasks-silent"   // containerd answers, but not about its tasks
	containerLock Kind = "container-lock" // inspect of one container does not return

	initZombie      Kind = "init-zombie"
	containerFrozen Kind = "container-frozen" // and Docker does not know
	restartLoop     Kind = "restart-loop"
	oomKilled       Kind = "oom-killed"
	mountBroken     Kind = "mount-broken" // its server is gone
	memoryLimit     Kind = "memory-limit"
	pidsLimit       Kind = "pids-limit"

	noProcess   Kind = "running-without-process"
	pidRecycled Kind = "pid-recycled"
	stateStale  Kind = "state-stale"
	noRecord    Kind = "process-without-record"
	nameTwice   Kind = "name-twice"

	engineRefuses Kind = "engine-refuses" // it answers with an error
	probeLate     Kind = "probe-late"

	noDocker  Kind = "no-docker" // this host has none
	unchecked Kind = "not-checked"
	info      Kind = "fact"
)

// order puts causes before what follows from them: of two findings of one severity, the
// first is the cause.
var order = slices.Concat(
	[]Kind{socketPermission},
	cross(standing, dockerdRole), []Kind{socketUnlinked, dockerdAbsent},
	cross(standing, containerdRole), []Kind{containerdAbsent, containerdSilent},
	[]Kind{backlogFull, dockerdSilent, listSilent},
	[]Kind{mountSilent, storageFull, storageReadOnly},
	cross(standing, shimRole), []Kind{shimSilent, shimRefuses, shimMissing},
	cross([]condition{blocked, noFiles, atLimit, starved}, daemons...),
	[]Kind{initExiting, initRole.is(blocked), runtimeStuck},
	[]Kind{tasksSilent, containerLock},
	[]Kind{initZombie, containerFrozen}, cross([]condition{stopped, traced}, initRole),
	[]Kind{restartLoop, oomKilled, mountBroken, memoryLimit, pidsLimit},
	[]Kind{noProcess, pidRecycled, stateStale, noRecord, nameTwice},
	cross(standing, otherRoles...), otherKinds,
	[]Kind{engineRefuses, probeLate, noDocker, unchecked, info},
)
