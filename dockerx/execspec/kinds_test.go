package execspec

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/caps"
	"dx/nsops/proc"
)

// TestBuildKinds: what the sources of moby (daemon/exec.go, daemon/oci_linux.go) and runc
// (libcontainer/setns_init_linux.go, process_linux.go) make of each kind of container.
func TestBuildKinds(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Facts)
		o      Options
		check  func(*testing.T, *Spec)
	}{
		"--privileged gives all that the shim has": {
			o: Options{Privileged: true},
			check: func(t *testing.T, s *Spec) {
				want := caps.Names(1<<0 | 1<<5)
				c := s.Process.Capabilities
				same(t, "bounding", c.Bounding, want)
				same(t, "effective", c.Effective, want)
				same(t, "inheritable", c.Inheritable, nil)
			},
		},
		"a bundle gives no capability that the shim lacks": {
			change: func(f *Facts) {
				f.Spec.Process.Capabilities.Bounding = []string{"CAP_CHOWN", "CAP_SYS_ADMIN"}
			},
			check: func(t *testing.T, s *Spec) {
				same(t, "bounding", s.Process.Capabilities.Bounding, []string{"CAP_CHOWN"})
			},
		},
		"a user namespace of the bundle's is joined": {
			change: func(f *Facts) {
				f.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.UserNamespace}, {Type: specs.PIDNamespace}}
			},
			check: func(t *testing.T, s *Spec) { same(t, "namespaces", s.Namespaces, []nsops.Type{nsops.PID, nsops.User}) },
		},
		"--pid host: no PID namespace": {
			change: func(f *Facts) { f.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}} },
			check:  func(t *testing.T, s *Spec) { same(t, "namespaces", s.Namespaces, []nsops.Type{nsops.Mnt}) },
		},
		"seccomp=unconfined": {
			change: func(f *Facts) { f.Spec.Linux.Seccomp = nil },
			check: func(t *testing.T, s *Spec) {
				if s.Seccomp != nil || s.Filters != nil {
					t.Errorf("seccomp %v and %v, want none", s.Seccomp, s.Filters)
				}
			},
		},
		"a profile of one's own": {
			change: func(f *Facts) { f.Spec.Linux.Seccomp.DefaultAction = specs.ActTrap },
			check: func(t *testing.T, s *Spec) {
				if s.Seccomp == nil || s.Seccomp.DefaultAction != specs.ActTrap {
					t.Errorf("seccomp %v, want the bundle's", s.Seccomp)
				}
			},
		},
		"no_new_privs that init has set itself is kept": {
			change: func(f *Facts) { f.Spec.Process.NoNewPrivileges, f.Init.Status.NoNewPrivs = false, true },
			check: func(t *testing.T, s *Spec) {
				if !s.Process.NoNewPrivileges {
					t.Error("no_new_privs is off")
				}
			},
		},
		"an SELinux label": {
			change: func(f *Facts) {
				f.LSM, f.Spec.Process.ApparmorProfile, f.Spec.Process.SelinuxLabel = "selinux", "", "system_u:system_r:container_t:s0"
			},
			check: func(t *testing.T, s *Spec) {
				if s.Process.SelinuxLabel != "system_u:system_r:container_t:s0" || s.Process.ApparmorProfile != "" {
					t.Errorf("labels %q and %q", s.Process.SelinuxLabel, s.Process.ApparmorProfile)
				}
			},
		},
		"-u with numbers": {
			o: Options{User: "12:34"},
			check: func(t *testing.T, s *Spec) {
				u := s.Process.User
				if u.UID != 12 || u.GID != 34 {
					t.Errorf("user %d:%d, want 12:34", u.UID, u.GID)
				}
			},
		},
		"--group-add": {
			change: func(f *Facts) { f.Docker.HostConfig.GroupAdd = []string{"77", "more"} },
			o:      Options{User: "app"},
			check: func(t *testing.T, s *Spec) {
				for _, gid := range []uint32{8, 9, 77} {
					if !slices.Contains(s.Process.User.AdditionalGids, gid) {
						t.Errorf("groups %v, want %d among them", s.Process.User.AdditionalGids, gid)
					}
				}
			},
		},
		"-w and -e": {
			o: Options{WorkingDir: "/srv", Env: []string{"A", "HOME=/h"}},
			check: func(t *testing.T, s *Spec) {
				same(t, "environment", s.Process.Env, []string{defaultPath, "HOSTNAME=box", "HOME=/h"})
				if s.Process.Cwd != "/srv" {
					t.Errorf("in %s, want /srv", s.Process.Cwd)
				}
			},
		},
		"-t": {
			o: Options{Tty: true},
			check: func(t *testing.T, s *Spec) {
				if !s.Process.Terminal || !slices.Contains(s.Process.Env, "TERM=xterm") {
					t.Errorf("terminal %v, environment %q", s.Process.Terminal, s.Process.Env)
				}
			},
		},
		"another engine's container has what its bundle says": {
			change: func(f *Facts) {
				f.Docker = nil
				f.Spec.Process.Env, f.Spec.Process.Cwd = []string{"PATH=/x", "B=1"}, "/work"
				f.Spec.Process.User = specs.User{UID: 5, GID: 6}
			},
			check: func(t *testing.T, s *Spec) {
				if !slices.Contains(s.Process.Env, "B=1") || s.Process.Cwd != "/work" || s.Process.User.UID != 5 {
					t.Errorf("%+v, want the bundle's environment, directory and user", s.Process)
				}
			},
		},
		"nothing is added to the environment of another engine's": {
			change: func(f *Facts) { f.Docker, f.Spec.Process.Env = nil, []string{"B=1", "HOME=/b"} },
			check:  func(t *testing.T, s *Spec) { same(t, "environment", s.Process.Env, []string{"B=1", "HOME=/b"}) },
		},
		"userns-remap: users are those of the namespace, which is joined": {
			change: func(f *Facts) {
				ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
				f.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.UserNamespace}, {Type: specs.MountNamespace}}
				f.Spec.Linux.UIDMappings, f.Spec.Linux.GIDMappings = ids, ids
				f.Init.UIDs, f.Init.GIDs = proc.IDMap{{Inside: 0, Outside: 100000, Count: 65536}}, proc.IDMap{{Inside: 0, Outside: 100000, Count: 65536}}
			},
			o: Options{User: "app"},
			check: func(t *testing.T, s *Spec) {
				same(t, "namespaces", s.Namespaces, []nsops.Type{nsops.Mnt, nsops.User})
				if u := s.Process.User; u.UID != 7 || u.GID != 8 {
					t.Errorf("user %d:%d, want 7:8 as the container counts", u.UID, u.GID)
				}
			},
		},
		"--ulimit, and the shim's other limits": {
			change: func(f *Facts) {
				f.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Soft: 10, Hard: 20}}
				f.Self.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 1, Hard: 1}, {Type: "RLIMIT_STACK", Soft: 8, Hard: 8}}
				f.Shim.Rlimits = []specs.POSIXRlimit{
					{Type: "RLIMIT_CORE", Soft: 0, Hard: 9}, {Type: "RLIMIT_STACK", Soft: 8, Hard: 8},
					{Type: "RLIMIT_NPROC", Soft: 1, Hard: 1}, {Type: "RLIMIT_NOFILE", Soft: 1 << 19, Hard: 1 << 20},
				}
				f.Init.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 1 << 20}}
			},
			check: func(t *testing.T, s *Spec) {
				same(t, "limits", s.Process.Rlimits, []specs.POSIXRlimit{
					{Type: "RLIMIT_NPROC", Soft: 10, Hard: 20}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 9},
					{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 1 << 20},
				})
			},
		},
		"an orphan has its init's limits": {
			change: func(f *Facts) {
				f.Kind, f.Bundle, f.Spec, f.State = Orphaned, "", nil, nil
				f.Init.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}}
			},
			check: func(t *testing.T, s *Spec) {
				same(t, "limits", s.Process.Rlimits, []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}})
			},
		},
		"containerd's container has its bundle's user by number, and no groups of Docker's": {
			change: func(f *Facts) {
				f.Docker = nil
				f.Spec.Process.User = specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{6, 44}}
			},
			check: func(t *testing.T, s *Spec) {
				u := s.Process.User
				if u.UID != 5 || u.GID != 6 || !slices.Contains(u.AdditionalGids, 44) || slices.Contains(u.AdditionalGids, 9) {
					t.Errorf("user %+v, want the bundle's", u)
				}
			},
		},
		"-u names a user of containerd's container": {
			change: func(f *Facts) { f.Docker = nil },
			o:      Options{User: "app"},
			check: func(t *testing.T, s *Spec) {
				if u := s.Process.User; u.UID != 7 || u.GID != 8 {
					t.Errorf("user %d:%d, want 7:8", u.UID, u.GID)
				}
			},
		},
		"umask, before runc 1.2": {
			change: func(f *Facts) { f.State.Umask, f.State.SpecVersion = new(uint32), "1.0.2-dev" },
			check: func(t *testing.T, s *Spec) {
				if s.Process.User.Umask != nil {
					t.Errorf("umask %03o, want the shim's, which is not known here", *s.Process.User.Umask)
				}
			},
		},
		"a detached container has its bundle's process": {
			change: detached,
			check: func(t *testing.T, s *Spec) {
				p := s.Process
				same(t, "environment", p.Env, []string{"B=1", "HOME=/home/app"})
				same(t, "ambient", p.Capabilities.Ambient, []string{"CAP_SYS_ADMIN"})
				same(t, "namespaces", s.Namespaces, []nsops.Type{nsops.Mnt})
				if p.User.UID != 7 || p.Cwd != "/work" || *p.OOMScoreAdj != 5 || *p.User.Umask != 0o27 || s.Keyring != "_ses.c" {
					t.Errorf("user %+v in %s, OOM score %d, keyring %s", p.User, p.Cwd, *p.OOMScoreAdj, s.Keyring)
				}
				if s.Personality == nil || s.MemoryPolicy == nil || s.Seccomp == nil || s.Filters != nil {
					t.Errorf("personality %v, memory policy %v, seccomp %v and %v", s.Personality, s.MemoryPolicy, s.Seccomp, s.Filters)
				}
				if len(s.Cgroups) != 1 || s.Cgroups[0].Path != "/sys/fs/cgroup/made" {
					t.Errorf("cgroups %v, want the state's", s.Cgroups)
				}
			},
		},
		"another process of a detached container is entered where it was seen": {
			change: func(f *Facts) {
				detached(f)
				f.Init.PID, f.Init.Namespaces.Own = 3, map[nsops.Type]nsops.ID{nsops.Net: {Inode: 9}}
			},
			check: func(t *testing.T, s *Spec) {
				if s.Exactly[nsops.Net].Inode != 9 {
					t.Errorf("exactly %v, want what was read", s.Exactly)
				}
			},
		},
		"runc that keeps no session keyring": {
			change: func(f *Facts) { f.State.NoNewKeyring = true },
			check: func(t *testing.T, s *Spec) {
				if s.Keyring != "" {
					t.Errorf("keyring %q, want none", s.Keyring)
				}
			},
		},
		"an orphan has what its init has": {
			change: func(f *Facts) {
				f.Kind, f.Bundle, f.Spec, f.State, f.Init.Status.CapBnd = Orphaned, "", nil, nil, 1<<5
			},
			check: func(t *testing.T, s *Spec) {
				same(t, "bounding", s.Process.Capabilities.Bounding, []string{"CAP_KILL"})
				if s.Seccomp != nil || s.Cgroups[0].Path != "/sys/fs/cgroup/docker/c" {
					t.Errorf("seccomp %v, cgroups %v", s.Seccomp, s.Cgroups)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := contained()
			if test.change != nil {
				test.change(f)
			}
			o := test.o
			o.Args = []string{"true"}
			s, err := Build(f, o)
			if err != nil {
				t.Fatal(err)
			}
			test.check(t, s)
		})
	}
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s %v, want %v", what, got, want)
	}
}

// What cannot be is an error, never less confinement.
func TestBuildRefuses(t *testing.T) {
	filtered := func(f *Facts) { f.Init.Status.Seccomp, f.FiltersErr = unix.SECCOMP_MODE_FILTER, errors.New("traced") }
	for name, test := range map[string]struct {
		change func(*Facts)
		o      Options
		want   string
	}{
		"a relative directory":                {o: Options{WorkingDir: "srv"}, want: "absolute"},
		"a user that is not there":            {o: Options{User: "nobody-here"}, want: "unable to find user nobody-here"},
		"--privileged beside a process":       {change: func(f *Facts) { f.Kind = Bare }, o: Options{Privileged: true}, want: "--privileged"},
		"filters that nobody tells":           {change: func(f *Facts) { f.Kind = Orphaned; filtered(f) }, want: "seccomp filters"},
		"an orphan in no cgroup that is seen": {change: func(f *Facts) { f.Kind, f.Cgroups = Orphaned, nil }, want: "cgroup"},
	} {
		t.Run(name, func(t *testing.T) {
			f := contained()
			if test.change != nil {
				test.change(f)
			}
			o := test.o
			o.Args = []string{"true"}
			if _, err := Build(f, o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error with %q", err, test.want)
			}
		})
	}
}

// detached makes of a container one of `runc run -d`, whose init has left its cgroup.
func detached(f *Facts) {
	score, umask := 5, uint32(0o27)
	f.Kind, f.Docker, f.Shim = Detached, nil, Process{}
	f.Spec.Process.Env, f.Spec.Process.Cwd = []string{"B=1"}, "/work"
	f.Spec.Process.User = specs.User{UID: 7}
	f.Spec.Process.Capabilities.Ambient = []string{"CAP_SYS_ADMIN"}
	f.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	f.Spec.Linux.Personality, f.Spec.Linux.MemoryPolicy = &specs.LinuxPersonality{Domain: specs.PerLinux32}, &specs.LinuxMemoryPolicy{}
	f.State.InitPID, f.State.SpecVersion, f.State.OOMScoreAdj, f.State.Umask = f.Init.PID, "1.3.0", &score, &umask
	f.State.Personality, f.State.MemoryPolicy = true, true
	f.State.CgroupPaths = map[string]string{"": "/sys/fs/cgroup/made"}
	f.Joinable = map[string]bool{"/sys/fs/cgroup/made": true}
}
