package doctor

import "sync"

// Kind names what a finding is about.
type Kind string

// The kinds, causes before what follows from them: see Diagnose.
const (
	SocketPermission Kind = "socket-permission"

	DockerdStopped Kind = "dockerd-stopped"
	DockerdTraced  Kind = "dockerd-traced"
	DockerdFrozen  Kind = "dockerd-frozen"
	SocketUnlinked Kind = "socket-unlinked"
	DockerdAbsent  Kind = "dockerd-absent"

	ContainerdStopped Kind = "containerd-stopped"
	ContainerdTraced  Kind = "containerd-traced"
	ContainerdFrozen  Kind = "containerd-frozen"
	ContainerdAbsent  Kind = "containerd-absent"
	ContainerdSilent  Kind = "containerd-silent"

	BacklogFull   Kind = "backlog-full"
	DockerdSilent Kind = "dockerd-silent" // it takes connections and answers nothing
	ListSilent    Kind = "list-silent"    // ping answers, the list does not

	MountSilent     Kind = "mount-silent"
	StorageFull     Kind = "storage-full"
	StorageReadOnly Kind = "storage-read-only"

	ShimStopped Kind = "shim-stopped"
	ShimTraced  Kind = "shim-traced"
	ShimFrozen  Kind = "shim-frozen"
	ShimSilent  Kind = "shim-silent"
	ShimRefuses Kind = "shim-refuses" // nobody listens on its socket
	ShimMissing Kind = "shim-missing"

	DockerdBlocked    Kind = "dockerd-blocked" // threads in uninterruptible sleep
	ContainerdBlocked Kind = "containerd-blocked"
	ShimBlocked       Kind = "shim-blocked"
	DockerdFiles      Kind = "dockerd-files" // at its limit of open files
	ContainerdFiles   Kind = "containerd-files"
	ShimFiles         Kind = "shim-files"
	DockerdLimit      Kind = "dockerd-limit" // at its cgroup's memory or pids limit
	ContainerdLimit   Kind = "containerd-limit"
	ShimLimit         Kind = "shim-limit"
	DockerdStarved    Kind = "dockerd-starved" // pressure stalls all of its cgroup
	ContainerdStarved Kind = "containerd-starved"
	ShimStarved       Kind = "shim-starved"

	InitExiting Kind = "init-exiting" // in zap_pid_ns_processes
	InitBlocked Kind = "init-blocked"
	RuntimeLeft Kind = "runc-left-over"

	TasksSilent   Kind = "tasks-silent"   // containerd answers, but not about its tasks
	ContainerLock Kind = "container-lock" // inspect of one container does not return

	InitZombie      Kind = "init-zombie"
	ContainerFrozen Kind = "container-frozen"
	MountBroken     Kind = "mount-broken" // its server is gone
	MemoryLimit     Kind = "memory-limit"
	PidsLimit       Kind = "pids-limit"

	NoProcess   Kind = "running-without-process"
	PIDRecycled Kind = "pid-recycled"
	StateStale  Kind = "state-stale"
	NoRecord    Kind = "process-without-record"
	NameTwice   Kind = "name-twice"

	EngineRefuses Kind = "engine-refuses" // it answers with an error
	ProbeLate     Kind = "probe-late"

	NotLookedAt Kind = "not-looked-at"
	Fact        Kind = "fact"
)

// order is the order of the constants: of two findings of one severity, the first
// is the cause.
var order = []Kind{
	SocketPermission,
	DockerdStopped, DockerdTraced, DockerdFrozen, SocketUnlinked, DockerdAbsent,
	ContainerdStopped, ContainerdTraced, ContainerdFrozen, ContainerdAbsent, ContainerdSilent,
	BacklogFull, DockerdSilent, ListSilent,
	MountSilent, StorageFull, StorageReadOnly,
	ShimStopped, ShimTraced, ShimFrozen, ShimSilent, ShimRefuses, ShimMissing,
	DockerdBlocked, ContainerdBlocked, ShimBlocked, DockerdFiles, ContainerdFiles, ShimFiles,
	DockerdLimit, ContainerdLimit, ShimLimit, DockerdStarved, ContainerdStarved, ShimStarved,
	InitExiting, InitBlocked, RuntimeLeft,
	TasksSilent, ContainerLock,
	InitZombie, ContainerFrozen, MountBroken, MemoryLimit, PidsLimit,
	NoProcess, PIDRecycled, StateStale, NoRecord, NameTwice,
	EngineRefuses, ProbeLate, NotLookedAt, Fact,
}

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
)

// catalogue is made when first needed: every start of dx would pay for it, also
// that of dx exec.
var catalogue = sync.OnceValue(newCatalogue)

// newCatalogue is the table of what is known of the kinds.
func newCatalogue() map[Kind]entry {
	// dockerdHolds are what may keep all of dockerd from answering.
	dockerdHolds := []Kind{DockerdStopped, DockerdTraced, DockerdFrozen, DockerdFiles, DockerdBlocked, MountSilent, StorageFull, StorageReadOnly, DockerdLimit, DockerdStarved}
	// containerdHolds are the same for containerd.
	containerdHolds := []Kind{ContainerdStopped, ContainerdTraced, ContainerdFrozen, ContainerdFiles, ContainerdBlocked, StorageFull, StorageReadOnly, ContainerdLimit, ContainerdStarved}
	// shimHolds are what may keep a shim from serving its container.
	shimHolds := []Kind{ShimStopped, ShimTraced, ShimFrozen, ShimSilent, ShimRefuses, ShimBlocked, ShimFiles, ShimLimit, ShimStarved}
	// lockHolds are what a holder of a container's lock may be waiting for.
	lockHolds := append(append([]Kind{ContainerdStopped, ContainerdTraced, ContainerdFrozen, ContainerdAbsent, ContainerdSilent},
		shimHolds...), InitExiting, InitBlocked, RuntimeLeft, MountSilent)
	return map[Kind]entry{
		SocketPermission: {layer: LayerClient, severity: Degraded, sure: Certain, means: "you are not allowed to ask the engine, which says nothing of the engine itself"},

		DockerdStopped: {layer: LayerDockerd, severity: Hung, sure: Certain, means: noCommand},
		DockerdTraced:  {layer: LayerDockerd, severity: Hung, sure: Certain, means: noCommand + " until the debugger lets it go on"},
		DockerdFrozen:  {layer: LayerDockerd, severity: Hung, sure: Certain, means: noCommand},
		SocketUnlinked: {layer: LayerSocket, severity: Hung, sure: Certain, means: "no new client finds dockerd, which itself lives on"},
		DockerdAbsent:  {layer: LayerDockerd, severity: Hung, sure: Certain, means: "no docker command works; containers that still run are reached with dx"},

		ContainerdStopped: {layer: LayerContainerd, severity: Hung, sure: Certain, means: noTask},
		ContainerdTraced:  {layer: LayerContainerd, severity: Hung, sure: Certain, means: noTask},
		ContainerdFrozen:  {layer: LayerContainerd, severity: Hung, sure: Certain, means: noTask},
		ContainerdAbsent:  {layer: LayerContainerd, severity: Hung, sure: Certain, means: noTask},
		ContainerdSilent:  {layer: LayerContainerd, severity: Hung, sure: Likely, means: noTask, causes: containerdHolds},

		BacklogFull:   {layer: LayerSocket, severity: Hung, sure: Likely, means: "dockerd no longer takes connections", causes: dockerdHolds},
		DockerdSilent: {layer: LayerDockerd, severity: Hung, sure: Guess, means: "something inside dockerd holds all requests", causes: dockerdHolds},
		ListSilent:    {layer: LayerDockerd, severity: Hung, sure: Guess, means: "docker ps does not return; a lock in dockerd is held", causes: append([]Kind{ContainerLock}, append(dockerdHolds, lockHolds...)...)},

		MountSilent:     {layer: LayerMount, severity: Degraded, sure: Certain, means: "whoever touches it waits until its server answers"},
		StorageFull:     {layer: LayerStorage, severity: Degraded, sure: Certain, means: mayNotWrite},
		StorageReadOnly: {layer: LayerStorage, severity: Degraded, sure: Certain, means: mayNotWrite},

		ShimStopped: {layer: LayerShim, severity: Degraded, sure: Certain, means: oneShim},
		ShimTraced:  {layer: LayerShim, severity: Degraded, sure: Certain, means: oneShim},
		ShimFrozen:  {layer: LayerShim, severity: Degraded, sure: Certain, means: oneShim},
		ShimSilent:  {layer: LayerShim, severity: Degraded, sure: Likely, means: oneShim, causes: []Kind{ShimStopped, ShimTraced, ShimFrozen, ShimBlocked, ShimFiles, ShimLimit, ShimStarved, RuntimeLeft, InitBlocked}},
		ShimRefuses: {layer: LayerShim, severity: Degraded, sure: Certain, means: oneShim},
		ShimMissing: {layer: LayerShim, severity: Degraded, sure: Certain, means: "the container runs on, but nobody can stop it, exec into it or learn its end by Docker"},

		DockerdBlocked:    {layer: LayerKernel, severity: Degraded, sure: Likely, means: "the kernel keeps it waiting", causes: []Kind{MountSilent}},
		ContainerdBlocked: {layer: LayerKernel, severity: Degraded, sure: Likely, means: "the kernel keeps it waiting", causes: []Kind{MountSilent}},
		ShimBlocked:       {layer: LayerKernel, severity: Degraded, sure: Likely, means: "the kernel keeps it waiting", causes: []Kind{MountSilent}},
		DockerdFiles:      {layer: LayerDockerd, severity: Degraded, sure: Certain, means: "it can accept no further connection"},
		ContainerdFiles:   {layer: LayerContainerd, severity: Degraded, sure: Certain, means: "it can accept no further connection"},
		ShimFiles:         {layer: LayerShim, severity: Degraded, sure: Certain, means: "it can accept no further connection"},
		DockerdLimit:      {layer: LayerDockerd, severity: Degraded, sure: Certain, means: onlyPartly},
		ContainerdLimit:   {layer: LayerContainerd, severity: Degraded, sure: Certain, means: onlyPartly},
		ShimLimit:         {layer: LayerShim, severity: Degraded, sure: Certain, means: onlyPartly},
		DockerdStarved:    {layer: LayerDockerd, severity: Degraded, sure: Likely, means: onlyPartly},
		ContainerdStarved: {layer: LayerContainerd, severity: Degraded, sure: Likely, means: onlyPartly},
		ShimStarved:       {layer: LayerShim, severity: Degraded, sure: Likely, means: onlyPartly},

		InitExiting: {layer: LayerKernel, severity: Degraded, sure: Certain, means: "the container cannot end before every process of its PID namespace has been reaped"},
		InitBlocked: {layer: LayerKernel, severity: Degraded, sure: Certain, means: "no signal ends it before the kernel's wait is over", causes: []Kind{MountSilent}},
		RuntimeLeft: {layer: LayerRuntime, severity: Degraded, sure: Likely, means: "the shim that started it waits for it, and so does Docker", causes: []Kind{MountSilent, InitExiting}},

		TasksSilent:   {layer: LayerContainerd, severity: Degraded, sure: Guess, means: "some task keeps containerd waiting", causes: append(append([]Kind{}, shimHolds...), containerdHolds...)},
		ContainerLock: {layer: LayerLock, severity: Degraded, sure: Likely, means: "that container's lock is held in dockerd; the other containers work", causes: lockHolds},

		InitZombie:      {layer: LayerContainer, severity: Degraded, sure: Certain, means: "its shim has not reaped it", causes: append([]Kind{InitExiting}, shimHolds...)},
		ContainerFrozen: {layer: LayerContainer, severity: Degraded, sure: Certain, means: "nothing in it runs, and docker exec refuses it"},
		MountBroken:     {layer: LayerMount, severity: Degraded, sure: Certain, means: "its server is gone: whoever touches it gets an error"},
		MemoryLimit:     {layer: LayerContainer, severity: Degraded, sure: Certain, means: "its processes are slowed down or killed"},
		PidsLimit:       {layer: LayerContainer, severity: Degraded, sure: Certain, means: "no process can be started in it"},

		NoProcess:   {layer: LayerRecords, severity: Degraded, sure: Certain, means: "Docker has missed its end", causes: append([]Kind{ContainerdStopped, ContainerdTraced, ContainerdFrozen, ContainerdAbsent, ContainerdSilent, InitZombie, InitExiting}, shimHolds...)},
		PIDRecycled: {layer: LayerRecords, severity: Degraded, sure: Certain, means: "Docker has missed the container's end, and the number is somebody else's now"},
		StateStale:  {layer: LayerRecords, severity: Degraded, sure: Certain, means: "what is read there is no longer true", causes: append([]Kind{NoProcess}, shimHolds...)},
		NoRecord:    {layer: LayerRecords, severity: Degraded, sure: Certain, means: "docker commands cannot reach it; dx can"},
		NameTwice:   {layer: LayerRecords, severity: Degraded, sure: Certain, means: "which one a name means is not certain: use IDs"},

		EngineRefuses: {layer: LayerDockerd, severity: Degraded, sure: Certain, means: "the engine answers, but cannot do that", causes: []Kind{ContainerdAbsent, StorageFull, StorageReadOnly}},
		ProbeLate:     {layer: LayerKernel, severity: Degraded, sure: Guess, means: "the kernel did not answer dx itself", causes: []Kind{MountSilent, InitBlocked, DockerdBlocked}},

		NotLookedAt: {layer: LayerClient, severity: Note, sure: Certain},
		Fact:        {layer: LayerClient, severity: Note, sure: Certain},
	}
}
