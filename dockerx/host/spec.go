package host

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/plain"
)

// bundleSpec is the part of config.json that dx uses: nothing for other systems than Linux,
// no hooks, devices or resources.
type bundleSpec struct {
	Version     string            `json:"ociVersion"`
	Process     *specs.Process    `json:"process"`
	Root        *specs.Root       `json:"root"`
	Hostname    string            `json:"hostname"`
	Domainname  string            `json:"domainname"`
	Mounts      []specs.Mount     `json:"mounts"`
	Annotations map[string]string `json:"annotations"`
	Linux       *bundleLinux      `json:"linux"`
}

type bundleLinux struct {
	UIDMappings []specs.LinuxIDMapping   `json:"uidMappings"`
	GIDMappings []specs.LinuxIDMapping   `json:"gidMappings"`
	Sysctl      map[string]string        `json:"sysctl"`
	CgroupsPath string                   `json:"cgroupsPath"`
	Namespaces  []specs.LinuxNamespace   `json:"namespaces"`
	Seccomp     *specs.LinuxSeccomp      `json:"seccomp"`
	Personality *specs.LinuxPersonality  `json:"personality"`
	Memory      *specs.LinuxMemoryPolicy `json:"memoryPolicy"`
	Propagation string                   `json:"rootfsPropagation"`
	Masked      []string                 `json:"maskedPaths"`
	Readonly    []string                 `json:"readonlyPaths"`
	MountLabel  string                   `json:"mountLabel"`
}

// ParseSpec parses an OCI bundle's config.json.
func ParseSpec(b []byte) (*specs.Spec, error) {
	var of bundleSpec
	if !plain.Read(b, of.read) {
		of = bundleSpec{}
		if err := decode(b, &of); err != nil {
			return nil, err
		}
	}
	l := of.Linux
	if of.Process == nil || of.Root == nil || l == nil {
		return nil, errors.New("no process, root or linux object")
	}
	return &specs.Spec{
		Version: of.Version, Process: of.Process, Root: of.Root, Hostname: of.Hostname, Domainname: of.Domainname,
		Mounts: of.Mounts, Annotations: of.Annotations,
		Linux: &specs.Linux{
			UIDMappings: l.UIDMappings, GIDMappings: l.GIDMappings, Sysctl: l.Sysctl, CgroupsPath: l.CgroupsPath,
			Namespaces: l.Namespaces, Seccomp: l.Seccomp, Personality: l.Personality, MemoryPolicy: l.Memory, RootfsPropagation: l.Propagation,
			MaskedPaths: l.Masked, ReadonlyPaths: l.Readonly, MountLabel: l.MountLabel,
		},
	}, nil
}

func (s *bundleSpec) read(r *plain.Reader) {
	r.Object([]plain.Field{
		{Key: "ociVersion", To: &s.Version}, {Key: "process", To: plain.Pointer(&s.Process, readProcess)},
		{Key: "root", To: plain.Pointer(&s.Root, func(r *plain.Reader, root *specs.Root) {
			r.Object(plain.Field{Key: "path", To: &root.Path}, plain.Field{Key: "readonly", To: &root.Readonly})
		})},
		{Key: "hostname", To: &s.Hostname}, {Key: "domainname", To: &s.Domainname},
		{Key: "mounts", To: plain.List(&s.Mounts, readMount)}, {Key: "annotations", To: &s.Annotations},
		{Key: "linux", To: plain.Pointer(&s.Linux, readLinux)},
	}...)
}

func readProcess(r *plain.Reader, p *specs.Process) {
	r.Object([]plain.Field{
		{Key: "terminal", To: &p.Terminal}, {Key: "consoleSize", To: &p.ConsoleSize}, {Key: "user", To: func(r *plain.Reader) { readUser(r, &p.User) }},
		{Key: "args", To: &p.Args}, {Key: "commandLine", To: &p.CommandLine}, {Key: "env", To: &p.Env}, {Key: "cwd", To: &p.Cwd},
		{Key: "capabilities", To: plain.Pointer(&p.Capabilities, readCapabilities)},
		{Key: "rlimits", To: plain.List(&p.Rlimits, readRlimit)},
		{Key: "noNewPrivileges", To: &p.NoNewPrivileges}, {Key: "apparmorProfile", To: &p.ApparmorProfile},
		{Key: "oomScoreAdj", To: plain.Pointer(&p.OOMScoreAdj, plain.Number[int])},
		{Key: "scheduler", To: &p.Scheduler}, {Key: "selinuxLabel", To: &p.SelinuxLabel},
		{Key: "ioPriority", To: &p.IOPriority}, {Key: "execCPUAffinity", To: &p.ExecCPUAffinity},
	}...)
}

func readUser(r *plain.Reader, u *specs.User) {
	r.Object([]plain.Field{
		{Key: "uid", To: &u.UID}, {Key: "gid", To: &u.GID}, {Key: "umask", To: plain.Pointer(&u.Umask, plain.Number[uint32])},
		{Key: "additionalGids", To: plain.List(&u.AdditionalGids, plain.Number[uint32])}, {Key: "username", To: &u.Username},
	}...)
}

func readCapabilities(r *plain.Reader, c *specs.LinuxCapabilities) {
	r.Object([]plain.Field{
		{Key: "bounding", To: &c.Bounding}, {Key: "effective", To: &c.Effective}, {Key: "inheritable", To: &c.Inheritable},
		{Key: "permitted", To: &c.Permitted}, {Key: "ambient", To: &c.Ambient},
	}...)
}

func readRlimit(r *plain.Reader, l *specs.POSIXRlimit) {
	r.Object(plain.Field{Key: "type", To: &l.Type}, plain.Field{Key: "hard", To: &l.Hard}, plain.Field{Key: "soft", To: &l.Soft})
}

func readMount(r *plain.Reader, m *specs.Mount) {
	r.Object([]plain.Field{
		{Key: "destination", To: &m.Destination}, {Key: "type", To: &m.Type}, {Key: "source", To: &m.Source}, {Key: "options", To: &m.Options},
		{Key: "uidMappings", To: plain.List(&m.UIDMappings, readMapping)}, {Key: "gidMappings", To: plain.List(&m.GIDMappings, readMapping)},
	}...)
}

func readMapping(r *plain.Reader, m *specs.LinuxIDMapping) {
	r.Object(plain.Field{Key: "containerID", To: &m.ContainerID}, plain.Field{Key: "hostID", To: &m.HostID}, plain.Field{Key: "size", To: &m.Size})
}

func readLinux(r *plain.Reader, l *bundleLinux) {
	r.Object([]plain.Field{
		{Key: "uidMappings", To: plain.List(&l.UIDMappings, readMapping)}, {Key: "gidMappings", To: plain.List(&l.GIDMappings, readMapping)},
		{Key: "sysctl", To: &l.Sysctl}, {Key: "cgroupsPath", To: &l.CgroupsPath},
		{Key: "namespaces", To: plain.List(&l.Namespaces, func(r *plain.Reader, n *specs.LinuxNamespace) {
			r.Object(plain.Field{Key: "type", To: plain.Text(&n.Type)}, plain.Field{Key: "path", To: &n.Path})
		})},
		{Key: "seccomp", To: plain.Pointer(&l.Seccomp, readSeccomp)},
		{Key: "personality", To: &l.Personality}, {Key: "memoryPolicy", To: &l.Memory},
		{Key: "rootfsPropagation", To: &l.Propagation}, {Key: "maskedPaths", To: &l.Masked}, {Key: "readonlyPaths", To: &l.Readonly},
		{Key: "mountLabel", To: &l.MountLabel},
	}...)
}

func readSeccomp(r *plain.Reader, s *specs.LinuxSeccomp) {
	r.Object([]plain.Field{
		{Key: "defaultAction", To: plain.Text(&s.DefaultAction)}, {Key: "defaultErrnoRet", To: plain.Pointer(&s.DefaultErrnoRet, plain.Number[uint])},
		{Key: "architectures", To: plain.Texts(&s.Architectures)}, {Key: "flags", To: plain.Texts(&s.Flags)},
		{Key: "listenerPath", To: &s.ListenerPath}, {Key: "listenerMetadata", To: &s.ListenerMetadata},
		{Key: "syscalls", To: plain.List(&s.Syscalls, readSyscall)},
	}...)
}

func readSyscall(r *plain.Reader, s *specs.LinuxSyscall) {
	r.Object([]plain.Field{
		{Key: "names", To: &s.Names}, {Key: "action", To: plain.Text(&s.Action)}, {Key: "errnoRet", To: plain.Pointer(&s.ErrnoRet, plain.Number[uint])},
		{Key: "args", To: plain.List(&s.Args, func(r *plain.Reader, a *specs.LinuxSeccompArg) {
			r.Object([]plain.Field{
				{Key: "index", To: &a.Index}, {Key: "value", To: &a.Value}, {Key: "valueTwo", To: &a.ValueTwo}, {Key: "op", To: plain.Text(&a.Op)},
			}...)
		})},
	}...)
}
