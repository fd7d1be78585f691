package doctor

import (
	"strings"
	"sync"
)

// rule says what becomes of the texts at a place: one of those below, or a class, as
// which they are masked. Of an environment the names stay.
type rule string

const (
	keep           rule = "keep"
	mountOptions   rule = "mount"    // "rw,size=64m"
	securityOption rule = "security" // "no-new-privileges", "seccomp=unconfined"
	program        rule = "program"  // a path
)

// shape is what is known of a JSON document: of each field, by its name in lower case
// ("*": any), what becomes of it. Lists count as what they hold.
type shape struct {
	rule   rule
	fields map[string]*shape
}

// secret reports whether everything below is masked.
func (s *shape) secret() bool {
	switch s.rule {
	case "", keep, mountOptions, securityOption, program:
		return false
	}
	return true
}

// field is what is known of a field; nil: nothing.
func (s *shape) field(key string) *shape {
	if s == nil {
		return nil
	}
	if inner := s.fields[strings.ToLower(key)]; inner != nil {
		return inner
	}
	if inner := s.fields["*"]; inner != nil {
		return inner
	}
	if s.secret() {
		return &shape{rule: s.rule}
	}
	return nil
}

// newShape makes one of paths ("Config.Env"), given by rule.
func newShape(rules map[rule]string) *shape {
	top := &shape{}
	for r, paths := range rules {
		for _, p := range strings.Fields(paths) {
			at := top
			for name := range strings.SplitSeq(strings.ToLower(p), ".") {
				if at.fields == nil {
					at.fields = map[string]*shape{}
				}
				if at.fields[name] == nil {
					at.fields[name] = &shape{}
				}
				at = at.fields[name]
			}
			at.rule = r
		}
	}
	return top
}

// storedShape is config.v2.json (moby, container/container.go).
var storedShape = sync.OnceValue(func() *shape {
	return newShape(map[rule]string{
		keep: `ID Created Name Image Driver OS Platform.architecture Platform.os
			ImageManifest.mediaType ImageManifest.digest
			LogPath MountLabel ProcessLabel AppArmorProfile HostnamePath HostsPath ShmPath ResolvConfPath
			State.StartedAt State.FinishedAt State.Health.Status State.Health.Log.Start State.Health.Log.End
			Config.Hostname Config.Domainname Config.User Config.Image Config.WorkingDir Config.StopSignal
			Config.MacAddress Config.ExposedPorts.* Config.Volumes.*
			NetworkSettings.Bridge NetworkSettings.SandboxID NetworkSettings.SandboxKey NetworkSettings.LinkLocalIPv6Address
			NetworkSettings.Ports.*.HostIp NetworkSettings.Ports.*.HostPort
			NetworkSettings.Networks.*.Links NetworkSettings.Networks.*.Aliases NetworkSettings.Networks.*.DNSNames
			NetworkSettings.Networks.*.NetworkID NetworkSettings.Networks.*.EndpointID NetworkSettings.Networks.*.Gateway
			NetworkSettings.Networks.*.IPAddress NetworkSettings.Networks.*.IPv6Gateway
			NetworkSettings.Networks.*.GlobalIPv6Address NetworkSettings.Networks.*.MacAddress NetworkSettings.Networks.*.DesiredMacAddress
			NetworkSettings.Networks.*.IPAMConfig.IPv4Address NetworkSettings.Networks.*.IPAMConfig.IPv6Address
			MountPoints.*.Source MountPoints.*.Destination MountPoints.*.Name MountPoints.*.Driver MountPoints.*.Type
			MountPoints.*.Relabel MountPoints.*.Propagation MountPoints.*.ID
			MountPoints.*.Spec.Type MountPoints.*.Spec.Source MountPoints.*.Spec.Target MountPoints.*.Spec.BindOptions.Propagation
			MountPoints.*.Spec.VolumeOptions.DriverConfig.Name`,
		program:             `Path`,
		rule(ofEnvironment): `Config.Env`,
		rule(ofArguments):   `Args Config.Cmd Config.Entrypoint Config.Shell Config.OnBuild`,
		rule(ofLabels):      `Config.Labels MountPoints.*.Spec.VolumeOptions.Labels`,
		rule(ofHealthCheck): `Config.Healthcheck.Test State.Health.Log.Output`,
		rule(ofOptions):     `NetworkSettings.Networks.*.DriverOpts MountPoints.*.Spec.VolumeOptions.DriverConfig.Options`,
		rule(ofAnnotations): `Annotations`,
	})
})

// hostShape is hostconfig.json (moby, api/types/container/hostconfig.go).
var hostShape = sync.OnceValue(func() *shape {
	return newShape(map[rule]string{
		keep: `Binds ContainerIDFile LogConfig.Type NetworkMode PortBindings.*.HostIp PortBindings.*.HostPort
			RestartPolicy.Name VolumeDriver VolumesFrom CapAdd CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts
			GroupAdd IpcMode Cgroup Links PidMode UTSMode UsernsMode Runtime Isolation CgroupParent CpusetCpus CpusetMems
			Sysctls.* Ulimits.Name MaskedPaths ReadonlyPaths
			BlkioWeightDevice.Path BlkioDeviceReadBps.Path BlkioDeviceWriteBps.Path BlkioDeviceReadIOps.Path BlkioDeviceWriteIOps.Path
			Devices.PathOnHost Devices.PathInContainer Devices.CgroupPermissions DeviceCgroupRules
			DeviceRequests.Driver DeviceRequests.DeviceIDs DeviceRequests.Capabilities
			Mounts.Type Mounts.Source Mounts.Target Mounts.Consistency Mounts.BindOptions.Propagation Mounts.VolumeOptions.DriverConfig.Name`,
		securityOption:      `SecurityOpt`,
		mountOptions:        `Tmpfs.*`,
		rule(ofLogOptions):  `LogConfig.Config`,
		rule(ofLabels):      `Mounts.VolumeOptions.Labels`,
		rule(ofOptions):     `Mounts.VolumeOptions.DriverConfig.Options DeviceRequests.Options StorageOpt`,
		rule(ofAnnotations): `Annotations`,
	})
})

// specShape is config.json of a bundle (OCI runtime-spec, config.md).
var specShape = sync.OnceValue(func() *shape {
	const seccomp = `linux.seccomp.defaultAction linux.seccomp.architectures linux.seccomp.flags
		linux.seccomp.syscalls.names linux.seccomp.syscalls.action linux.seccomp.syscalls.args.op`
	return newShape(map[rule]string{
		keep: `ociVersion hostname domainname root.path mounts.destination mounts.type mounts.source
			process.cwd process.apparmorProfile process.selinuxLabel process.rlimits.type
			process.capabilities.bounding process.capabilities.effective process.capabilities.permitted
			process.capabilities.inheritable process.capabilities.ambient process.ioPriority.class
			process.scheduler.policy process.scheduler.flags
			linux.sysctl.* linux.cgroupsPath linux.namespaces.type linux.namespaces.path linux.maskedPaths linux.readonlyPaths
			linux.rootfsPropagation linux.mountLabel linux.devices.path linux.devices.type
			linux.resources.devices.type linux.resources.devices.access linux.resources.cpu.cpus linux.resources.cpu.mems
			linux.resources.hugepageLimits.pageSize linux.resources.unified.* linux.personality.domain
			linux.intelRdt.closID ` + seccomp + hooked("path"),
		rule(ofEnvironment): `process.env` + hooked("env"),
		mountOptions:        `mounts.options`,
		rule(ofArguments):   `process.args process.commandLine` + hooked("args"),
		rule(ofAnnotations): `annotations`,
	})
})

// hooked are the paths of a field of all hooks.
func hooked(field string) string {
	out := ""
	for _, kind := range []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"} {
		out += " hooks." + kind + "." + field
	}
	return out
}

// listShape is what dx keeps of the engine's list.
var listShape = sync.OnceValue(func() *shape {
	return newShape(map[rule]string{
		keep:           `ID Name Image State Status Ports.*.HostIP Ports.*.HostPort`,
		rule(ofLabels): `Labels`,
	})
})

// reportShape is a Report: its texts are dx's own, with names, paths and errors in them.
var reportShape = sync.OnceValue(func() *shape {
	finding := func(at string) (out string) {
		for _, f := range []string{"Kind", "Layer", "Severity", "Container", "ID", "Path", "Text", "Evidence"} {
			out += " " + at + f
		}
		return out
	}
	return newShape(map[rule]string{
		keep: `Status Verdict.Sentence Verdict.Layer Verdict.Confidence Verdict.Also Verdict.Next.Why Verdict.Next.Command
			Engine.Host Engine.Version Engine.Process Engine.Unit Engine.DataRoot Engine.ExecRoot Engine.Containerd Engine.ContainerdUnit
			Probes.Name Dumps.Of Dumps.File Dumps.Error Dumps.Groups.Waits Dumps.Groups.At Dumps.Groups.For` +
			finding("Findings.") + finding("Verdict.Cause."),
	})
})

// socketShape is a list of unix sockets.
var socketShape = sync.OnceValue(func() *shape { return newShape(map[rule]string{keep: "Name"}) })
