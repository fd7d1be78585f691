package doctor

import (
	"regexp"
	"strings"
	"testing"

	"dx/dockerx/host"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

// TestDoubtBeforeASignal: SIGUSR1 ends whatever does not catch it, so that one that is not
// certainly the daemon gets none.
func TestDoubtBeforeASignal(t *testing.T) {
	standin.NeedRoot(t)
	self, err := proc.Self()
	standin.Must(t, err)
	st, err := self.Stat()
	standin.Must(t, err)
	status, err := self.ReadFile("status")
	standin.Must(t, err)
	trust, err := host.NewTrust()
	standin.Must(t, err)
	line := func(key, value string) []byte {
		return regexp.MustCompile(`(?m)^`+key+`:.*$`).ReplaceAll(status, []byte(key+":\t"+value))
	}
	caught := line("SigCgt", "0000000000000200")
	dockerd := &proc.Process{PID: st.PPID + 1}
	for name, test := range map[string]struct {
		of, comm string
		status   []byte
		trust    *host.Trust
		parent   int
		want     string
	}{
		"dockerd":               {of: "dockerd", comm: "dockerd", status: caught, trust: &trust},
		"another program":       {of: "dockerd", comm: "sleep", status: caught, trust: &trust, want: "it is no dockerd"},
		"another user's":        {of: "dockerd", comm: "dockerd", status: line("Uid", "7\t7\t7\t7"), trust: &trust, want: "it runs as uid 7"},
		"nobody to believe":     {of: "dockerd", comm: "dockerd", status: caught, want: "it is not the host's"},
		"one that would die":    {of: "dockerd", comm: "dockerd", status: line("SigCgt", "0000000000000000"), trust: &trust, want: "would die of it"},
		"an unreadable status":  {of: "dockerd", comm: "dockerd", status: []byte("Uid:\tx\n"), trust: &trust, want: "Uid"},
		"a containerd":          {of: "containerd", comm: "containerd", status: caught, trust: &trust, want: "it is not certain that it serves dockerd"},
		"dockerd's containerd":  {of: "containerd", comm: "containerd", status: caught, trust: &trust, parent: dockerd.PID},
		"a shell named dockerd": {of: "containerd", comm: "dockerd", status: caught, trust: &trust, want: "it is no containerd"},
	} {
		p := &Examination{dockerd: dockerd, trust: test.trust}
		its := st
		if its.Comm = test.comm; test.parent != 0 {
			its.PPID = test.parent
		}
		got := p.doubt(test.of, self, its, test.status)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
