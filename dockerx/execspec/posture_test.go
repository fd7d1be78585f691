package execspec

import (
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// TestUsersWordIsBounded: a plain user's bundle gives nothing that takes root's rights.
func TestUsersWordIsBounded(t *testing.T) {
	low := -900
	limit := func(soft, hard uint64) specs.POSIXRlimit {
		return specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: soft, Hard: hard}
	}
	f := contained()
	f.Owner = 1000
	f.Spec.Process.OOMScoreAdj, f.Spec.Process.ApparmorProfile, f.Spec.Process.Rlimits = &low, "unconfined-by-me", []specs.POSIXRlimit{limit(9000, 9000)}
	f.State.OOMScoreAdj = &low
	f.Shim.OOMScoreAdj, f.Init.OOMScoreAdj, f.Shim.Rlimits = 200, 100, []specs.POSIXRlimit{limit(500, 1000)}
	s, err := Build(f, Options{Args: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Process; *p.OOMScoreAdj != 100 || p.ApparmorProfile != "" || p.Rlimits[0] != limit(1000, 1000) {
		t.Errorf("score %d, profile %q, limits %v", *p.OOMScoreAdj, p.ApparmorProfile, p.Rlimits)
	}
	if !s.Realm || !slices.Contains(s.Namespaces, nsops.User) {
		t.Errorf("his user namespace need not be joined: %v", s.Namespaces)
	}
}

// TestBuildPosture: what newer runtimes note in their state is applied, and what they do
// not note is not (runc, libcontainer/setns_init_linux.go, process_linux.go).
func TestBuildPosture(t *testing.T) {
	mask, score, adj := uint32(0o27), 300, -5
	nice := &specs.LinuxIOPriority{Class: "IOPRIO_CLASS_IDLE"}
	for name, test := range map[string]struct {
		change func(*Facts)
		is     func(*Spec) bool
	}{
		"the shim's umask":                             {func(f *Facts) { f.Shim.Status.Umask = &mask }, func(s *Spec) bool { return *s.Process.User.Umask == mask }},
		"the state's umask":                            {func(f *Facts) { f.State.Umask, f.State.SpecVersion, f.Shim.Status.Umask = &mask, "1.2.0", new(uint32) }, func(s *Spec) bool { return *s.Process.User.Umask == mask }},
		"an oom score that counts":                     {func(f *Facts) { f.State.OOMScoreAdj, f.Spec.Process.OOMScoreAdj = &adj, &score }, func(s *Spec) bool { return *s.Process.OOMScoreAdj == score }},
		"0, where none is given":                       {func(f *Facts) { f.State.OOMScoreAdj = &adj }, func(s *Spec) bool { return *s.Process.OOMScoreAdj == 0 }},
		"the shim's oom score":                         {func(f *Facts) { f.Spec.Process.OOMScoreAdj = &score }, func(s *Spec) bool { return *s.Process.OOMScoreAdj == -998 }},
		"0, of a runtime that notes no cgroups either": {func(f *Facts) { f.State.CgroupPaths = nil }, func(s *Spec) bool { return *s.Process.OOMScoreAdj == 0 }},
		"the shim's oom score, under crun": {func(f *Facts) {
			f.State.Crun, f.State.CgroupPaths, f.Spec.Process.OOMScoreAdj = true, nil, &score
		}, func(s *Spec) bool { return *s.Process.OOMScoreAdj == -998 && s.Crun }},
		"no keyring, under crun":             {func(f *Facts) { f.State.Crun = true }, func(s *Spec) bool { return s.Keyring == "" }},
		"no keyring, where runc was told so": {func(f *Facts) { f.State.NoNewKeyring = true }, func(s *Spec) bool { return s.Keyring == "" }},
		"a keyring, where no state is left":  {func(f *Facts) { f.State = nil }, func(s *Spec) bool { return s.Keyring == "_ses.c" }},
		"a personality": {
			func(f *Facts) {
				f.State.Personality, f.Spec.Linux.Personality = true, &specs.LinuxPersonality{Domain: "LINUX32"}
			},
			func(s *Spec) bool { return s.Personality != nil && s.Personality.Domain == "LINUX32" },
		},
		"a personality that the runtime does not know": {
			func(f *Facts) { f.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX32"} },
			func(s *Spec) bool { return s.Personality == nil },
		},
		"a scheduler": {
			func(f *Facts) {
				f.State.Scheduler, f.Spec.Process.Scheduler = true, &specs.Scheduler{Policy: specs.SchedBatch}
			},
			func(s *Spec) bool { return s.Process.Scheduler != nil && s.Process.IOPriority == nil },
		},
		"an I/O priority": {
			func(f *Facts) { f.State.IOPriority, f.Spec.Process.IOPriority = true, nice },
			func(s *Spec) bool { return s.Process.IOPriority == nice && s.Process.Scheduler == nil },
		},
		"neither, of a runtime that does not know them": {
			func(f *Facts) { f.Spec.Process.IOPriority, f.Spec.Process.Scheduler = nice, &specs.Scheduler{} },
			func(s *Spec) bool { return s.Process.IOPriority == nil && s.Process.Scheduler == nil },
		},
		"init's AppArmor profile, where the bundle has none": {
			func(f *Facts) { f.Spec.Process.ApparmorProfile, f.Init.Label = "", "mine (enforce)" },
			func(s *Spec) bool { return s.Process.ApparmorProfile == "mine" },
		},
		"nor does unconfined loosen it": {
			func(f *Facts) { f.Spec.Process.ApparmorProfile, f.Init.Label = "unconfined", "mine (enforce)" },
			func(s *Spec) bool { return s.Process.ApparmorProfile == "mine" },
		},
		"unconfined, where init is": {
			func(f *Facts) { f.Spec.Process.ApparmorProfile, f.Init.Label = "unconfined", "unconfined" },
			func(s *Spec) bool { return s.Process.ApparmorProfile == "unconfined" },
		},
		"init's SELinux label": {
			func(f *Facts) { f.LSM, f.Spec.Process.ApparmorProfile, f.Init.Label = "selinux", "", "a:b:c:s0" },
			func(s *Spec) bool { return s.Process.SelinuxLabel == "a:b:c:s0" && s.Process.ApparmorProfile == "" },
		},
	} {
		f := contained()
		test.change(f)
		s, err := Build(f, Options{Args: []string{"true"}})
		if err != nil || !test.is(s) {
			t.Errorf("%s: %+v of %+v, %v", name, s, f.Spec.Process, err)
		}
	}
}

// TestUserOfAnotherNamespace: a bare process's ids are said in its own user namespace's
// numbers (user_namespaces(7)); groups that it does not have are left out.
func TestUserOfAnotherNamespace(t *testing.T) {
	bare := func(uid, gid uint32) *Facts {
		f := contained()
		f.Kind, f.ID, f.Name, f.Init.Cwd, f.Init.Root = Bare, "", "made", "/", "/"
		f.Init.Namespaces.Own = map[nsops.Type]nsops.ID{nsops.User: {Device: 4, Inode: 9}}
		f.Init.UIDs = proc.IDMap{{Inside: 0, Outside: 1000, Count: 10}}
		f.Init.GIDs = proc.IDMap{{Inside: 0, Outside: 2000, Count: 10}}
		f.Init.Status.UID, f.Init.Status.GID = [4]uint32{0, uid, 0, 0}, [4]uint32{0, gid, 0, 0}
		f.Init.Status.Groups = []uint32{2001, 1, 2009, 2010}
		return f
	}
	s, err := Build(bare(1003, 2004), Options{Args: []string{"true"}})
	if err != nil || s.Process.User.UID != 3 || s.Process.User.GID != 4 {
		t.Fatalf("%+v, %v, want 3:4", s, err)
	}
	same(t, "groups", s.Process.User.AdditionalGids, []uint32{1, 9})
	for text, f := range map[string]*Facts{
		"the user namespace of made has no id for its uid 1010: its uid_map does not cover it": bare(1010, 2004),
		"the user namespace of made has no id for its gid 1999: its gid_map does not cover it": bare(1003, 1999),
	} {
		if _, err := Build(f, Options{Args: []string{"true"}}); err == nil || err.Error() != text {
			t.Errorf("%v, want %s", err, text)
		}
	}
}

// TestErrorsOfExecspec: who asks why gets the kernel's answer, who reads gets a sentence.
func TestErrorsOfExecspec(t *testing.T) {
	unknown := &UnknownFilterError{PID: 7, Reason: "no bundle tells their profile", Err: unix.EPERM}
	if !errors.Is(unknown, unix.EPERM) {
		t.Error("the reason of an UnknownFilterError is lost")
	}
}
