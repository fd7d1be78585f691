// Package claims lists what Docker and the runtime say of a container, in the terms in
// which nsops/posture states what the kernel says. Whether a claim is true is for
// cmpdiff to judge.
package claims

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/posture"
	"dx/nsops/proc"
)

// Of returns what Docker and the runtime say of the container, in the terms of what
// the kernel says: p is that, of the same process. A reference to a process (pid:N,
// host) has none.
//
// What may change while a container runs (docker update, docker pause) is taken from
// Docker's own configuration, the rest from the bundle, which the runtime applied.
func Of(c *dockerx.Container, p *posture.Posture) ([]posture.Claim, error) {
	if c.ID == "" {
		return nil, nil
	}
	l := &claimLister{p: p}
	b, err := host.Open(c.Process)
	switch {
	case errors.Is(err, host.ErrNoBundle), errors.Is(err, fs.ErrPermission):
		// The shim has died, or dx may not look at it.
		l.docker(said(c, func() (*docker.Container, error) { return host.DockerOf(c.Process, c.ID) }))
		return l.claims, nil
	case err != nil:
		return nil, err
	}
	defer b.Close()
	spec, err := b.Spec()
	if err != nil {
		return nil, err
	}
	l.docker(said(c, func() (*docker.Container, error) { return b.Docker(spec) }))
	shim, err := b.Shim.Status()
	if err != nil {
		return nil, err
	}
	l.bundle(spec, shim, b.Owner)
	return l.claims, c.Process.Alive()
}

// Docker returns what the engine says of the container, else Docker's files; nil if neither
// says anything.
func Docker(c *dockerx.Container) *docker.Container {
	if c.ID == "" {
		return nil
	}
	b, err := host.Open(c.Process)
	if err != nil {
		return said(c, func() (*docker.Container, error) { return host.DockerOf(c.Process, c.ID) })
	}
	defer b.Close()
	return said(c, func() (*docker.Container, error) {
		spec, err := b.Spec()
		if err != nil {
			return nil, err
		}
		return b.Docker(spec)
	})
}

// said is what the engine says, else Docker's files; nil if neither says anything.
func said(c *dockerx.Container, files func() (*docker.Container, error)) *docker.Container {
	if c.Docker != nil {
		return c.Docker
	}
	d, err := files()
	if err != nil {
		return nil
	}
	return d
}

type claimLister struct {
	p      *posture.Posture
	claims []posture.Claim
}

func (l *claimLister) one(s posture.Section, name, value string, tolerance posture.Tolerance, origin string) *posture.Claim {
	return l.add(posture.Fact{Section: s, Name: name, Values: []string{value}, Origin: origin}, tolerance)
}

func (l *claimLister) set(s posture.Section, name string, values []string, tolerance posture.Tolerance, origin string) {
	l.add(posture.Fact{Section: s, Name: name, Values: values, Set: true, Origin: origin}, tolerance)
}

func (l *claimLister) add(f posture.Fact, tolerance posture.Tolerance) *posture.Claim {
	l.claims = append(l.claims, posture.Claim{Fact: f, Tolerance: tolerance})
	return &l.claims[len(l.claims)-1]
}

// docker lists what Docker keeps of the container; nil: it is not Docker's.
func (l *claimLister) docker(d *docker.Container) {
	if d == nil {
		return
	}
	h := d.HostConfig
	pid := l.one(posture.SectionIdentity, posture.PID, strconv.Itoa(d.State.Pid), posture.Exact, d.Origin+" State.Pid")
	if id := l.p.Identity; id != nil {
		// An engine in a PID namespace of its own counts differently.
		for _, n := range id.Pids {
			pid.Or = append(pid.Or, strconv.Itoa(n))
		}
	}
	l.one(posture.SectionCgroup, posture.Frozen, yesNo(d.State.Paused), posture.Exact, d.Origin+" State.Paused")
	everything := h.Privileged || slices.ContainsFunc(h.CapAdd, func(c string) bool { return strings.EqualFold(c, "ALL") })
	l.one(posture.SectionCapabilities, posture.AllCaps, yesNo(everything), posture.MayDrop, d.HostConfigOrigin+" Privileged, CapAdd")
	l.one(posture.SectionMounts, posture.RootReadOnly, yesNo(h.ReadonlyRootfs), posture.Exact, d.HostConfigOrigin+" ReadonlyRootfs")
	if h.NetworkMode == "host" {
		// The bundle has a path for it.
		l.one(posture.SectionNamespaces, string(nsops.Net), posture.HostNamespace, posture.Exact, d.HostConfigOrigin+" NetworkMode")
	}
	l.addresses(d)
	l.memory(d)
	l.cpu(d)
	pids := int64(0)
	if h.PidsLimit != nil {
		pids = *h.PidsLimit
	}
	l.one(posture.SectionCgroup, posture.PidsLimit, limitText(pids), posture.Exact, d.HostConfigOrigin+" PidsLimit")
}

func yesNo(b bool) string {
	if b {
		return posture.Yes
	}
	return posture.No
}

// limitText: 0 and less mean no limit.
func limitText(n int64) string {
	if n <= 0 {
		return posture.Unlimited
	}
	return strconv.FormatInt(n, 10)
}

func (l *claimLister) addresses(d *docker.Container) {
	var all []string
	for _, e := range d.NetworkSettings.Networks {
		if e == nil {
			continue
		}
		if e.IPAddress != "" {
			all = append(all, fmt.Sprintf("%s/%d", e.IPAddress, e.IPPrefixLen))
		}
		if e.GlobalIPv6Address != "" {
			all = append(all, fmt.Sprintf("%s/%d", e.GlobalIPv6Address, e.GlobalIPv6PrefixLen))
		}
	}
	if len(all) > 0 {
		slices.Sort(all)
		l.set(posture.SectionNetwork, posture.Addresses, all, posture.Includes, d.Origin+" NetworkSettings.Networks")
	}
}

func (l *claimLister) memory(d *docker.Container) {
	h := d.HostConfig
	limit := l.one(posture.SectionCgroup, posture.MemoryLimit, limitText(h.Memory), posture.Exact, d.HostConfigOrigin+" Memory")
	limit.Unit = posture.Bytes
	// The kernel counts whole pages.
	limit.Or = []string{limitText(h.Memory &^ int64(os.Getpagesize()-1))}
	soft := l.one(posture.SectionCgroup, posture.MemorySoft, strconv.FormatInt(h.MemoryReservation, 10), posture.Exact, d.HostConfigOrigin+" MemoryReservation")
	soft.Unit = posture.Bytes
	swap := h.MemorySwap
	if l.version() == 2 && swap > 0 {
		swap -= h.Memory // runc, libcontainer/cgroups: ConvertMemorySwapToCgroupV2Value
		if swap == 0 {
			l.one(posture.SectionCgroup, posture.SwapLimit, "0", posture.Exact, d.HostConfigOrigin+" MemorySwap").Unit = posture.Bytes
			return
		}
	}
	if swap == 0 && h.Memory > 0 {
		return // Docker found no accounting of swap
	}
	l.one(posture.SectionCgroup, posture.SwapLimit, limitText(swap), posture.Exact, d.HostConfigOrigin+" MemorySwap").Unit = posture.Bytes
}

func (l *claimLister) version() int {
	if l.p.Cgroup == nil {
		return 0
	}
	return l.p.Cgroup.Version
}

// dockerPeriod is the period of --cpus, and the kernel's own default.
const dockerPeriod = 100000

func (l *claimLister) cpu(d *docker.Container) {
	h := d.HostConfig
	period, quota, field := uint64(dockerPeriod), h.CPUQuota, "CpuQuota"
	if h.CPUPeriod > 0 {
		period = uint64(h.CPUPeriod)
	}
	if h.NanoCPUs > 0 {
		period, quota, field = dockerPeriod, h.NanoCPUs*dockerPeriod/1e9, "NanoCpus"
	}
	limit := proc.Unlimited
	if quota > 0 {
		limit = proc.Limit(quota)
	}
	l.one(posture.SectionCgroup, posture.CPULimit, posture.CPUs(limit, period), posture.Exact, d.HostConfigOrigin+" "+field)
	if h.CpusetCpus != "" {
		l.one(posture.SectionCgroup, posture.Cpuset, h.CpusetCpus, posture.Exact, d.HostConfigOrigin+" CpusetCpus")
	}
	if l.version() == 2 {
		weight, newer := weights(h.CPUShares)
		l.one(posture.SectionCgroup, posture.CPUWeight, weight, posture.Exact, d.HostConfigOrigin+" CpuShares").Or = []string{newer}
		return
	}
	shares := h.CPUShares
	if shares == 0 {
		shares = 1024
	}
	l.one(posture.SectionCgroup, posture.CPUShares, strconv.FormatInt(shares, 10), posture.Exact, d.HostConfigOrigin+" CpuShares")
}

// weights are what runtimes make of shares on v2: linearly at first, since
// opencontainers/cgroups 0.0.4 so that 1024 becomes 100 (ConvertCPUSharesToCgroupV2Value).
func weights(shares int64) (linear, logarithmic string) {
	switch {
	case shares == 0:
		return "100", "100"
	case shares <= 2:
		return "1", "1"
	case shares >= 262144:
		return "10000", "10000"
	}
	l := math.Log2(float64(shares))
	curve := math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34))
	return strconv.FormatInt(1+(shares-2)*9999/262142, 10), strconv.FormatFloat(curve, 'f', 0, 64)
}

// bundle lists what the runtime was told to make.
func (l *claimLister) bundle(spec *specs.Spec, shim proc.Status, owner uint32) {
	l.process(spec.Process)
	l.capabilities(spec.Process)
	seccomp := "disabled"
	if spec.Linux.Seccomp != nil || shim.Seccomp == unix.SECCOMP_MODE_FILTER {
		seccomp = "filter"
	}
	l.one(posture.SectionSecurity, posture.Seccomp, seccomp, posture.MayAdd, "config.json linux.seccomp")
	l.maps(posture.UIDMap, spec.Linux.UIDMappings, "config.json linux.uidMappings")
	l.maps(posture.GIDMap, spec.Linux.GIDMappings, "config.json linux.gidMappings")
	l.namespaces(listed(spec.Linux.Namespaces, owner))
}

func (l *claimLister) process(p *specs.Process) {
	l.one(posture.SectionIdentity, posture.UID, strconv.FormatUint(uint64(p.User.UID), 10), posture.Own, "config.json process.user")
	l.one(posture.SectionIdentity, posture.GID, strconv.FormatUint(uint64(p.User.GID), 10), posture.Own, "config.json process.user")
	l.one(posture.SectionSecurity, posture.NoNewPrivs, yesNo(p.NoNewPrivileges), posture.MayAdd, "config.json process.noNewPrivileges")
	if p.ApparmorProfile != "" {
		l.one(posture.SectionSecurity, posture.LSM, p.ApparmorProfile, posture.Exact, "config.json process.apparmorProfile").
			Or = []string{p.ApparmorProfile + " (enforce)", p.ApparmorProfile + " (complain)"}
	} else if p.SelinuxLabel != "" {
		l.one(posture.SectionSecurity, posture.LSM, p.SelinuxLabel, posture.Own, "config.json process.selinuxLabel")
	}
	for _, r := range p.Rlimits {
		limit := posture.Rlimit{Soft: proc.Limit(r.Soft), Hard: proc.Limit(r.Hard)}
		name := strings.ToLower(strings.TrimPrefix(r.Type, "RLIMIT_"))
		l.one(posture.SectionLimits, name, limit.String(), posture.SoftOnly, "config.json process.rlimits")
	}
	if p.OOMScoreAdj != nil {
		l.one(posture.SectionLimits, posture.OOMScoreAdj, strconv.Itoa(*p.OOMScoreAdj), posture.Own, "config.json process.oomScoreAdj")
	}
}

// capabilities: those of the bundle are what the process has before it executes the
// command; what that makes of them capabilities(7) tells. A file may carry
// capabilities: only the bounding set holds whatever the process does.
func (l *claimLister) capabilities(p *specs.Process) {
	c := p.Capabilities
	if c == nil {
		return
	}
	const s, origin = posture.SectionCapabilities, "config.json process.capabilities"
	l.set(s, posture.Bounding, c.Bounding, posture.MayDrop, origin+".bounding")
	l.set(s, posture.Inheritable, c.Inheritable, posture.Own, origin+".inheritable")
	l.set(s, posture.Ambient, c.Ambient, posture.Own, origin+".ambient")
	after := c.Ambient
	switch {
	case p.User.UID == 0 && p.NoNewPrivileges:
		after = c.Permitted
	case p.User.UID == 0:
		after = c.Bounding
	}
	l.set(s, posture.Effective, after, posture.Own, origin+", after execve")
}

func (l *claimLister) maps(name string, list []specs.LinuxIDMapping, origin string) {
	var out proc.IDMap
	for _, m := range list {
		out = append(out, proc.IDRange{Inside: m.ContainerID, Outside: m.HostID, Count: m.Size})
	}
	if len(out) > 0 {
		l.one(posture.SectionIdentity, name, out.String(), posture.Exact, origin)
	}
}

// listed adds the user namespace of a plain user's engine, in which its containers are.
func listed(list []specs.LinuxNamespace, owner uint32) []specs.LinuxNamespace {
	if owner == 0 {
		return list
	}
	return append(slices.Clone(list), specs.LinuxNamespace{Type: specs.UserNamespace, Path: "its engine's"})
}

// namespaces: a kind that is not listed is the shim's; one with a path is somebody's,
// of which the path alone does not tell whose.
func (l *claimLister) namespaces(list []specs.LinuxNamespace) {
	whose := map[nsops.Type]string{}
	for _, ns := range list {
		whose[nsops.OCI[ns.Type]] = posture.OwnNamespace
		if ns.Path != "" {
			whose[nsops.OCI[ns.Type]] = ""
		}
	}
	for _, t := range nsops.Types {
		claim, listed := whose[t]
		if !listed {
			claim = posture.HostNamespace
		}
		if claim != "" {
			l.one(posture.SectionNamespaces, string(t), claim, posture.Exact, "config.json linux.namespaces")
		}
	}
}
