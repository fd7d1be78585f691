package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Made is what runc's state.json says that a container was made with, beside what State
// has of it: in the terms of the OCI specification, of which libcontainer has its own.
type Made struct {
	Namespaces   []specs.LinuxNamespace
	Seccomp      *specs.LinuxSeccomp
	Personality  *specs.LinuxPersonality
	MemoryPolicy *specs.LinuxMemoryPolicy
}

// madeConfig is that part of libcontainer's configuration (libcontainer/configs).
type madeConfig struct {
	Namespaces []struct {
		Type string `json:"type"`
		Path string `json:"path"`
	} `json:"namespaces"`
	Seccomp     *madeSeccomp `json:"seccomp"`
	Personality *struct {
		Domain int `json:"domain"`
	} `json:"personality"`
	MemoryPolicy *struct {
		Mode  uint     `json:"mode"`
		Flags uint     `json:"flags"`
		Nodes []uint64 `json:"nodes"` // a mask
	} `json:"memory_policy"`
}

type madeSeccomp struct {
	DefaultAction   int                      `json:"default_action"`
	DefaultErrnoRet *uint                    `json:"default_errno_ret"`
	Architectures   []string                 `json:"architectures"`
	Flags           []specs.LinuxSeccompFlag `json:"flags"`
	Syscalls        []struct {
		Name     string `json:"name"`
		Action   int    `json:"action"`
		ErrnoRet *uint  `json:"errnoRet"`
		Args     []struct {
			Index    uint   `json:"index"`
			Value    uint64 `json:"value"`
			ValueTwo uint64 `json:"value_two"`
			Op       int    `json:"op"`
		} `json:"args"`
	} `json:"syscalls"`
}

// libcontainer counts actions and operators from 1 (configs.Action, configs.Operator).
var (
	madeActions = []specs.LinuxSeccompAction{
		1: specs.ActKill, specs.ActErrno, specs.ActTrap, specs.ActAllow, specs.ActTrace, specs.ActLog,
		specs.ActNotify, specs.ActKillThread, specs.ActKillProcess,
	}
	madeOperators = []specs.LinuxSeccompOperator{
		1: specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan,
		specs.OpLessEqual, specs.OpMaskedEqual,
	}
	madeArches = map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}

	madeNamespaces = map[string]specs.LinuxNamespaceType{
		"NEWNET": specs.NetworkNamespace, "NEWPID": specs.PIDNamespace, "NEWNS": specs.MountNamespace,
		"NEWUTS": specs.UTSNamespace, "NEWIPC": specs.IPCNamespace, "NEWUSER": specs.UserNamespace,
		"NEWCGROUP": specs.CgroupNamespace, "NEWTIME": specs.TimeNamespace,
	}

	// madePolicies are the kernel's modes (set_mempolicy(2)), by number.
	madePolicies = []specs.MemoryPolicyModeType{
		specs.MpolDefault, specs.MpolPreferred, specs.MpolBind, specs.MpolInterleave, specs.MpolLocal,
		specs.MpolPreferredMany, specs.MpolWeightedInterleave,
	}
	madePolicyFlags = map[uint]specs.MemoryPolicyFlagType{
		1 << 15: specs.MpolFStaticNodes, 1 << 14: specs.MpolFRelativeNodes, 1 << 13: specs.MpolFNumaBalancing,
	}
)

// ParseMade parses runc's state.json (libcontainer.State).
func ParseMade(b []byte) (*Made, error) {
	var of struct {
		Config madeConfig `json:"config"`
	}
	if err := decode(b, &of); err != nil {
		return nil, err
	}
	c, m := of.Config, &Made{}
	for _, ns := range c.Namespaces {
		t, ok := madeNamespaces[ns.Type]
		if !ok {
			return nil, fmt.Errorf("namespace %q is not known", ns.Type)
		}
		m.Namespaces = append(m.Namespaces, specs.LinuxNamespace{Type: t, Path: ns.Path})
	}
	if c.Personality != nil {
		m.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
		if c.Personality.Domain == 8 { // PER_LINUX32
			m.Personality.Domain = specs.PerLinux32
		}
	}
	var err error
	if m.Seccomp, err = c.Seccomp.profile(); err != nil {
		return nil, err
	}
	m.MemoryPolicy, err = c.memoryPolicy()
	return m, err
}

// profile says of libcontainer's form what the specification's says.
func (s *madeSeccomp) profile() (*specs.LinuxSeccomp, error) {
	if s == nil {
		return nil, nil
	}
	out := &specs.LinuxSeccomp{DefaultErrnoRet: s.DefaultErrnoRet, Flags: s.Flags}
	var err error
	if out.DefaultAction, err = nth(madeActions, s.DefaultAction); err != nil {
		return nil, fmt.Errorf("default action: %w", err)
	}
	for _, a := range s.Architectures {
		arch, ok := madeArches[a]
		if !ok {
			arch = specs.Arch("SCMP_ARCH_" + strings.ToUpper(a))
		}
		out.Architectures = append(out.Architectures, arch)
	}
	for _, c := range s.Syscalls {
		rule := specs.LinuxSyscall{Names: []string{c.Name}, ErrnoRet: c.ErrnoRet}
		if rule.Action, err = nth(madeActions, c.Action); err != nil {
			return nil, fmt.Errorf("action for %s: %w", c.Name, err)
		}
		for _, a := range c.Args {
			arg := specs.LinuxSeccompArg{Index: a.Index, Value: a.Value, ValueTwo: a.ValueTwo}
			if arg.Op, err = nth(madeOperators, a.Op); err != nil {
				return nil, fmt.Errorf("operator for %s: %w", c.Name, err)
			}
			rule.Args = append(rule.Args, arg)
		}
		out.Syscalls = append(out.Syscalls, rule)
	}
	return out, nil
}

func nth[T ~string](names []T, n int) (T, error) {
	if n < 0 || n >= len(names) || names[n] == "" {
		return "", fmt.Errorf("%d is not known", n)
	}
	return names[n], nil
}

func (c madeConfig) memoryPolicy() (*specs.LinuxMemoryPolicy, error) {
	p := c.MemoryPolicy
	if p == nil {
		return nil, nil
	}
	mode, err := nth(madePolicies, int(p.Mode))
	if err != nil {
		return nil, fmt.Errorf("memory policy: %w", err)
	}
	out := &specs.LinuxMemoryPolicy{Mode: mode}
	for bit, name := range madePolicyFlags {
		if p.Flags&bit != 0 {
			out.Flags = append(out.Flags, name)
		}
	}
	slices.Sort(out.Flags)
	var nodes []string
	for n := range len(p.Nodes) * 64 {
		if p.Nodes[n/64]&(1<<(n%64)) != 0 {
			nodes = append(nodes, strconv.Itoa(n))
		}
	}
	out.Nodes = strings.Join(nodes, ",")
	return out, nil
}
