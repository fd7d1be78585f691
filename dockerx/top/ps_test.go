package top

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dx/nsops/proc"
)

// TestParsePS: the cases of moby (daemon/top_unix_test.go), and what ps can print besides.
func TestParsePS(t *testing.T) {
	for name, c := range map[string]struct {
		out  string
		want [][]string
		err  string
	}{
		"some of it": {"  PID COMMAND\n   42 foo\n   43 bar\n  100 baz\n", [][]string{{"42", "foo"}, {"43", "bar"}}, ""},
		"with threads": {
			"PID TTY STAT TIME COMMAND\n42 ? Ssl 0:00 foo --arg1 bar\n- - Ssl 0:00 -\n100 ? Ss 0:00 x\n- - Ss 0:00 -\n",
			[][]string{{"42", "?", "Ssl", "0:00", "foo --arg1 bar"}, {"-", "-", "Ssl", "0:00", "-"}}, "",
		},
		"unicode blanks":     {"PID CMD\n42 a\u00a0b  c\n", [][]string{{"42", "a\u00a0b c"}}, ""},
		"an empty field":     {"PID LABEL CMD\n42 x\n", [][]string{{"42", "x", ""}}, ""},
		"a short line":       {"CMD PID\nx\n", nil, ""},
		"no PID":             {"CMD\nfoo\n", nil, "Couldn't find PID field in ps output"},
		"nothing":            {"", nil, "Couldn't find PID field in ps output"},
		"a PID that is none": {"PID\nx1\n", nil, "Unexpected pid 'x1'"},
	} {
		got, err := parsePS([]byte(c.out), func(pid int) bool { return pid == 42 || pid == 43 })
		if diff := cmp.Diff(c.want, got.Rows); diff != "" || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestCheckPS: the cases of moby.
func TestCheckPS(t *testing.T) {
	for args, ok := range map[string]bool{
		"ae -o uid=PID": false, "ae -o \"uid= PID\"": false, "ae o uid=PID": false, "aeo uid=PID": false, "ae -O uid=PID": false,
		"ae -o pid=PID2 -o uid=PID": false, "ae -o pid=PID": true, "ae -o pid=PID -o uid=PIDX": false, "aeo pid=PID": true, "ae": true, "": true,
		"aeo uid=uid": true,
	} {
		if err := CheckPS(strings.Split(args, " ")); (err == nil) != ok {
			t.Errorf("%s: %v, want it taken: %v", args, err, ok)
		}
	}
}

// TestRunPS: of this process, as ps itself has it.
func TestRunPS(t *testing.T) {
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("no ps here")
	}
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	mine := []Task{{PID: self.PID, start: self.StartTime}}
	t.Setenv("COLUMNS", "12")
	t.Setenv("PS_FORMAT", "uid")
	ctx := context.Background()
	for _, args := range [][]string{{"-o", "pid,ppid,args"}, {"axo", "pid,ppid,args"}, {"axf", "-o", "pid,ppid,args"}} {
		ps, err := RunPS(ctx, args, mine)
		if err != nil || len(ps.Rows) != 1 || !slices.Equal(ps.Rows[0][:2], []string{fmt.Sprint(os.Getpid()), fmt.Sprint(os.Getppid())}) || !strings.HasSuffix(ps.Rows[0][2], os.Args[len(os.Args)-1]) {
			t.Errorf("ps %q: %q, %v, want this process alone, and all of its arguments", args, ps.Rows, err)
		}
	}
	if ps, err := RunPS(ctx, []string{"aux"}, []Task{{PID: self.PID, start: self.StartTime + 1}}); err != nil || len(ps.Rows) > 0 {
		t.Errorf("a number that is another's: %q, %v, want nothing", ps.Rows, err)
	}
	if _, err := RunPS(ctx, []string{"-o", "uid"}, mine); !errors.Is(err, ErrNoPID) {
		t.Errorf("no column PID: %v, want %v", err, ErrNoPID)
	}
	if _, err := RunPS(ctx, []string{"-o", "nosuchcolumn"}, mine); err == nil || !strings.HasPrefix(err.Error(), "ps: error: ") {
		t.Errorf("a wrong option: %v, want what ps says", err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := RunPS(stopped, []string{"aux"}, mine); err == nil {
		t.Error("ps is run though nobody waits for it any more")
	}
}

// TestPSWithoutEnd: a ps that waits for ever, as for a command line that cannot be read, and one
// that prints without end.
func TestPSWithoutEnd(t *testing.T) {
	for name, script := range map[string]string{
		"waits": "exec /bin/sleep 100000", "prints": "while :; do echo PID; done",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/ps", []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		if ps, err := RunPS(ctx, []string{"aux"}, nil); err == nil {
			t.Errorf("a ps that %s: %d rows, want an error", name, len(ps.Rows))
		}
		cancel()
	}
}

func FuzzParsePS(f *testing.F) {
	f.Add([]byte("PID CMD\n42 x y\n- z\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		ps, err := parsePS(out, func(int) bool { return true })
		for _, row := range ps.Rows {
			if err != nil || len(row) != len(ps.Titles) {
				t.Errorf("%q beneath %q", row, ps.Titles)
			}
		}
	})
}

// TestSince: the use since another look, by PID and start.
func TestSince(t *testing.T) {
	before := Top{Tasks: []Task{{PID: 1, start: 5, CPU: 10e9}, {PID: 2, start: 5, CPU: 10e9}}}
	now := Top{At: before.At.Add(2e9), Tasks: []Task{{PID: 1, start: 5, CPU: 11e9, Percent: 7}, {PID: 2, start: 6, CPU: 1e9, Percent: 7}, {PID: 3, CPU: 1e9, Percent: 7}}}
	now.Since(before)
	for i, want := range []float64{50, 7, 7} {
		if now.Tasks[i].Percent != want {
			t.Errorf("%d: %v%%, want %v%%", now.Tasks[i].PID, now.Tasks[i].Percent, want)
		}
	}
}
