package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The files under testdata were read from a live kernel: of a sleep on the host, of a container
// (docker run --user 1000:1000 --group-add 10 --security-opt no-new-privileges, with
// SIGINT and SIGQUIT ignored) and of a process called ") R 1 (".

// statTail is what follows the command name.
const statTail = " S 1 4242 4242 34816 4242 4194304 120 0 1 0 7 9 0 0 20 -5 1 0 65432 5705728 400 18446744073709551615 0 0 0 0 0 0 0 4096 0 0 0 0 17 1 0 0"

func TestParseStat(t *testing.T) {
	want := Stat{State: 'S', PPID: 1, PGRP: 4242, Session: 4242, TTY: 34816, Flags: 4194304,
		UTime: 7, STime: 9, Nice: -5, NumThreads: 1, StartTime: 65432, RSS: 400, ExitSignal: 17}
	for _, comm := range []string{"sleep", "", ") R 1 (", "a) Z 0 0", "((", "tab\there", "new\nline", "\xff\xfe", " "} {
		got, err := ParseStat([]byte("4242 (" + comm + ")" + statTail + "\n"))
		want.Comm = comm
		if err != nil {
			t.Errorf("comm %q: %v", comm, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("comm %q (-want +got):\n%s", comm, diff)
		}
	}
}

func TestParseStatRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"empty":            "",
		"no name":          "1 S 0 1 1",
		"brackets swapped": "1 )sleep( S 0",
		"cut short":        "1 (sleep) S 0 1 1",
		"long state":       "1 (sleep) SS" + strings.TrimPrefix(statTail, " S"),
		"word for ppid":    "1 (sleep)" + strings.Replace(statTail, " 1 ", " one ", 1),
		"word for start":   "1 (sleep)" + strings.Replace(statTail, "65432", "x", 1),
		"negative start":   "1 (sleep)" + strings.Replace(statTail, "65432", "-1", 1),
	} {
		if st, err := ParseStat([]byte(line)); err == nil {
			t.Errorf("%s: no error, got %+v", name, st)
		}
	}
}

func TestParseStatus(t *testing.T) {
	umask := uint32(0o22)
	want := Status{
		Name: "sh", Umask: &umask, UID: [4]uint32{1000, 1000, 1000, 1000}, GID: [4]uint32{1000, 1000, 1000, 1000},
		Groups: []uint32{10, 1000}, PPID: 16750, NSpid: []int{16779, 1}, SigIgn: 1<<(2-1) | 1<<(3-1), SigCgt: 1 << (17 - 1),
		CapBnd: 0xa80425fb, NoNewPrivs: true, Seccomp: 2, SeccompFilters: 1, CpusAllowedList: "0-1",
	}
	got, err := ParseStatus(read(t, "status-container"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Kernels before 4.7 print no Umask, those before 5.9 no Seccomp_filters.
func TestParseStatusOfOldKernels(t *testing.T) {
	got, err := ParseStatus([]byte("Name:\tsleep\nUid:\t0\t1\t2\t3\nGroups:\t \nSeccomp:\t2\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Status{Name: "sleep", UID: [4]uint32{0, 1, 2, 3}, Seccomp: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseStatusRefuses(t *testing.T) {
	for _, line := range []string{
		"Uid:\t0\t0\t0", "Uid:\t0\t0\t0\tx", "Gid:\t-1\t0\t0\t0", "Groups:\t4294967296",
		"CapEff:\tnothex", "CapBnd:\t10000000000000000", "Umask:\t99", "NSpid:\t1 two", "Seccomp:\tyes",
	} {
		if st, err := ParseStatus([]byte(line + "\n")); err == nil {
			t.Errorf("%q: no error, got %+v", line, st)
		}
	}
}

func TestParseCgroups(t *testing.T) {
	for in, want := range map[string][]Cgroup{
		"0::/system.slice/docker-4a9e.scope\n": {{Path: "/system.slice/docker-4a9e.scope"}},
		"12:name=systemd:/user.slice\n4:cpu,cpuacct:/docker/4a9e\n1:memory:/with:colon\n0::/\n": {
			{Controllers: []string{"name=systemd"}, Path: "/user.slice"},
			{Controllers: []string{"cpu", "cpuacct"}, Path: "/docker/4a9e"},
			{Controllers: []string{"memory"}, Path: "/with:colon"},
			{Path: "/"},
		},
		"0::/../sibling (deleted)\n": {{Path: "/../sibling (deleted)"}},
		"":                           nil,
	} {
		got, err := ParseCgroups([]byte(in))
		if err != nil {
			t.Errorf("cgroups %q: %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
	for _, line := range []string{"0", "0:", "memory"} {
		if got, err := ParseCgroups([]byte(line)); err == nil {
			t.Errorf("%q: no error, got %+v", line, got)
		}
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seed adds the real files of a kind, and those of this very process.
func seed(f *testing.F, kind string) {
	f.Helper()
	files, err := filepath.Glob("testdata/" + kind + "-*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no files testdata/%s-*: %v", kind, err)
	}
	for _, name := range append(files, "/proc/self/"+kind) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzParseStat(f *testing.F) {
	seed(f, "stat")
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := ParseStat(b)
		if err != nil {
			return
		}
		if !bytes.Contains(b, []byte("("+st.Comm+")")) {
			t.Errorf("command name %q is not what the brackets hold in %q", st.Comm, b)
		}
		if strings.ContainsRune(" \n)", rune(st.State)) {
			t.Errorf("state %q of %q", st.State, b)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	seed(f, "status")
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := ParseStatus(b)
		if err == nil && len(st.Groups)+len(st.NSpid) > len(b) {
			t.Errorf("%d groups and %d pids out of %d bytes", len(st.Groups), len(st.NSpid), len(b))
		}
	})
}

func FuzzParseCgroups(f *testing.F) {
	seed(f, "cgroup")
	f.Fuzz(func(t *testing.T, b []byte) {
		cgroups, err := ParseCgroups(b)
		if err != nil {
			return
		}
		for _, cg := range cgroups {
			line := ":" + strings.Join(cg.Controllers, ",") + ":" + cg.Path
			if !bytes.Contains(b, []byte(line)) {
				t.Errorf("%q is no line of %q", line, b)
			}
		}
	})
}
