package doctor

import (
	"slices"
	"sync"
)

// entry is what is known of a kind.
type entry struct {
	layer    Layer
	severity Severity
	sure     Confidence
	means    string // follows the finding's text in the verdict

	// causes are the kinds from which this one may follow, the surest first. What
	// is of one container can only be the cause of what is of the same or of none.
	causes []Kind
}

const (
	noCommand   = "no docker command returns"
	noTask      = "docker ps and inspect may answer, but run, exec, stop and rm do not return"
	oneShim     = "exec, stop and rm of that container do not return, the others work"
	onlyPartly  = "what needs it will wait"
	mayNotWrite = "containers cannot be created or started, and writes in containers fail"
	nothingRuns = "nothing that it has to do is done, and no signal but SIGKILL reaches it"
)

// catalogue is made when first needed: every start of dx would pay for it, also
// that of dx exec.
var catalogue = sync.OnceValue(newCatalogue)

// newCatalogue is the table of what is known of the kinds.
func newCatalogue() map[Kind]entry {
	all := map[Kind]entry{}
	for _, table := range []map[Kind]entry{conditions(), engineKinds(), containerKinds(), otherEntries()} {
		for k, e := range table {
			all[k] = e
		}
	}
	return all
}

// holds are what may keep a process from answering, apart from what it waits for.
func (r role) holds() []Kind {
	return cross([]condition{stopped, traced, frozen, noFiles, blocked, atLimit, starved}, r)
}

// daemonHolds are the same for a daemon that writes to the disk.
func (r role) daemonHolds() []Kind {
	return append(r.holds(), mountSilent, storageFull, storageReadOnly)
}

// shimHolds are what may keep a shim from serving its container.
func shimHolds() []Kind { return append(shimRole.holds(), shimSilent, shimRefuses) }

// containerdGone are the states in which containerd does nothing at all.
func containerdGone() []Kind { return append(cross(standing, containerdRole), containerdAbsent) }

// conditions are the same for every role, but for how much depends on it.
func conditions() map[Kind]entry {
	out := map[Kind]entry{}
	for r, e := range map[role]entry{
		dockerdRole:    {layer: LayerDockerd, severity: Hung, means: noCommand},
		containerdRole: {layer: LayerContainerd, severity: Hung, means: noTask},
		shimRole:       {layer: LayerShim, severity: Degraded, means: oneShim},
		initRole:       {layer: LayerContainer, severity: Degraded, means: nothingRuns},
	} {
		e.sure = Certain
		out[r.is(stopped)], out[r.is(frozen)] = e, e
		e.means += ", until the debugger lets it go on"
		out[r.is(traced)] = e
		out[r.is(blocked)] = entry{layer: LayerKernel, severity: Degraded, sure: Likely, means: "the kernel keeps it waiting", causes: []Kind{mountSilent}}
		out[r.is(noFiles)] = entry{layer: e.layer, severity: Degraded, sure: Certain, means: "it can accept no further connection"}
		out[r.is(atLimit)] = entry{layer: e.layer, severity: Degraded, sure: Certain, means: onlyPartly}
		out[r.is(starved)] = entry{layer: e.layer, severity: Degraded, sure: Likely, means: onlyPartly}
	}
	out[initRole.is(blocked)] = entry{layer: LayerKernel, severity: Degraded, sure: Certain, means: "no signal ends it before the kernel's wait is over", causes: []Kind{mountSilent}}
	for _, c := range []condition{frozen, noFiles, atLimit, starved} {
		delete(out, initRole.is(c)) // the container's: containerFrozen, memoryLimit…
	}
	return out
}

// engineKinds concern all containers of an engine.
func engineKinds() map[Kind]entry {
	lockHolds := slices.Concat(containerdGone(), []Kind{containerdSilent}, shimHolds(), []Kind{initExiting, initRole.is(blocked), runtimeStuck, mountSilent})
	return map[Kind]entry{
		socketPermission: {layer: LayerClient, severity: Degraded, sure: Certain, means: "you are not allowed to ask the engine, which says nothing of the engine itself"},
		socketUnlinked:   {layer: LayerSocket, severity: Hung, sure: Certain, means: "no new client finds dockerd, which itself lives on"},
		dockerdAbsent:    {layer: LayerDockerd, severity: Hung, sure: Certain, means: "no docker command works; containers that still run are reached with dx"},
		containerdAbsent: {layer: LayerContainerd, severity: Hung, sure: Certain, means: noTask},
		containerdSilent: {layer: LayerContainerd, severity: Hung, sure: Likely, means: noTask, causes: containerdRole.daemonHolds()},

		backlogFull:   {layer: LayerSocket, severity: Hung, sure: Likely, means: "dockerd no longer takes connections", causes: dockerdRole.daemonHolds()},
		dockerdSilent: {layer: LayerDockerd, severity: Hung, sure: Guess, means: "something inside dockerd holds all requests", causes: dockerdRole.daemonHolds()},
		listSilent: {layer: LayerDockerd, severity: Hung, sure: Guess, means: "docker ps does not return; a lock in dockerd is held",
			causes: slices.Concat([]Kind{containerLock}, dockerdRole.daemonHolds(), lockHolds)},
		tasksSilent:   {layer: LayerContainerd, severity: Degraded, sure: Guess, means: "some task keeps containerd waiting", causes: append(shimHolds(), containerdRole.daemonHolds()...)},
		containerLock: {layer: LayerLock, severity: Degraded, sure: Likely, means: "that container's lock is held in dockerd; the other containers work", causes: lockHolds},

		mountSilent:     {layer: LayerMount, severity: Degraded, sure: Certain, means: "whoever touches it waits until its server answers"},
		mountBroken:     {layer: LayerMount, severity: Degraded, sure: Certain, means: "its server is gone: whoever touches it gets an error"},
		storageFull:     {layer: LayerStorage, severity: Degraded, sure: Certain, means: mayNotWrite},
		storageReadOnly: {layer: LayerStorage, severity: Degraded, sure: Certain, means: mayNotWrite},

		engineRefuses: {layer: LayerDockerd, severity: Degraded, sure: Certain, means: "the engine answers, but cannot do that", causes: []Kind{containerdAbsent, storageFull, storageReadOnly}},
		probeLate:     {layer: LayerKernel, severity: Degraded, sure: Guess, means: "the kernel did not answer dx itself", causes: []Kind{mountSilent, initRole.is(blocked), dockerdRole.is(blocked)}},

		noDocker:  {layer: LayerClient, severity: Note, sure: Certain},
		unchecked: {layer: LayerClient, severity: Note, sure: Certain},
		info:      {layer: LayerClient, severity: Note, sure: Certain},
	}
}

// containerKinds concern one container.
func containerKinds() map[Kind]entry {
	return map[Kind]entry{
		shimSilent: {layer: LayerShim, severity: Degraded, sure: Likely, means: oneShim,
			causes: append(shimRole.holds(), runtimeStuck, initRole.is(blocked))},
		shimRefuses: {layer: LayerShim, severity: Degraded, sure: Certain, means: oneShim},
		shimMissing: {layer: LayerShim, severity: Degraded, sure: Certain, means: "the container runs on, but nobody can stop it, exec into it or learn its end by Docker"},

		initExiting:  {layer: LayerKernel, severity: Degraded, sure: Certain, means: "the container cannot end before every process of its PID namespace has been reaped"},
		initZombie:   {layer: LayerContainer, severity: Degraded, sure: Certain, means: "its shim has not reaped it", causes: append([]Kind{initExiting}, shimHolds()...)},
		runtimeStuck: {layer: LayerRuntime, severity: Degraded, sure: Likely, means: "the shim that started it waits for it, and so does Docker", causes: []Kind{mountSilent, initExiting}},

		containerFrozen: {layer: LayerContainer, severity: Degraded, sure: Certain, means: "nothing in it runs, and Docker does not know"},
		restartLoop:     {layer: LayerContainer, severity: Degraded, sure: Certain, means: "it ends soon after each start", causes: []Kind{oomKilled}},
		oomKilled:       {layer: LayerContainer, severity: Degraded, sure: Certain, means: "it needs more memory than its limit, or than the host has"},
		memoryLimit:     {layer: LayerContainer, severity: Degraded, sure: Certain, means: "its processes are slowed down or killed"},
		pidsLimit:       {layer: LayerContainer, severity: Degraded, sure: Certain, means: "no process can be started in it"},

		noProcess: {layer: LayerRecords, severity: Degraded, sure: Certain, means: "Docker has missed its end",
			causes: slices.Concat(containerdGone(), []Kind{containerdSilent, initZombie, initExiting}, shimHolds())},
		pidRecycled: {layer: LayerRecords, severity: Degraded, sure: Certain, means: "Docker has missed the container's end, and the number is somebody else's now"},
		stateStale:  {layer: LayerRecords, severity: Degraded, sure: Certain, means: "what is read there is no longer true", causes: append([]Kind{noProcess}, shimHolds()...)},
		noRecord:    {layer: LayerRecords, severity: Degraded, sure: Certain, means: "docker commands cannot reach it; dx can"},
		nameTwice:   {layer: LayerRecords, severity: Degraded, sure: Certain, means: "which one a name means is not certain: use IDs"},
	}
}
