package nsops

import "github.com/opencontainers/runtime-spec/specs-go"

// OCI maps the names that the OCI runtime specification has for types of namespaces to
// the kernel's.
var OCI = map[specs.LinuxNamespaceType]Type{
	specs.CgroupNamespace:  Cgroup,
	specs.IPCNamespace:     IPC,
	specs.MountNamespace:   Mnt,
	specs.NetworkNamespace: Net,
	specs.PIDNamespace:     PID,
	specs.TimeNamespace:    Time,
	specs.UserNamespace:    User,
	specs.UTSNamespace:     UTS,
}
