package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
	"dx/e2e/fakeengine"
)

// maxMemory is what dx may take, in KiB, whatever an engine answers. It takes some 36 MiB, a
// half of them its program's; beside other work the collector is later.
const maxMemory = 64 << 10

// unendings are answers that begin well and never end.
var unendings = map[string]struct{ begin, more string }{
	"containers":             {"[{}", `,{}`},
	"containers with names":  {"[{}", `,{"Id":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","Names":["/x"],"Labels":{"a":"b"}}`},
	"containers with labels": {"[{}", `,{"Labels":{` + labels(2000) + `}}`},
	"a string":               {`[{"Id":"`, "x"},
	"an object":              {`{"Id":"`, "x"},
	"links":                  {`{"HostConfig":{"Links":[""`, `,""`},
	"an array in an object":  {`{"HostConfig":[0`, `,0`},
	"arrays":                 {"[", "["},
	"spaces":                 {"", " "},
}

func labels(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"%d":""`, i))
	}
	return strings.Join(list, ",")
}

// TestAttackEndlessEngine: an engine whose answer does not end costs no more memory
// than a healthy one, and dx says what was wrong.
func TestAttackEndlessEngine(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	dx := e.DxPath(t)
	for name, answer := range unendings {
		host := fakeengine.Serve(t, fakeengine.Endless(answer.begin, answer.more))
		for _, args := range [][]string{{"ps"}, {"exec", "web", "true"}, {"ns"}} {
			t.Run(name+", "+args[0], func(t *testing.T) {
				cmd := e.Command(context.Background(), slices.Concat([]string{dx, "-H", host, "--api-timeout", "20s", "--source", "engine"}, args)...)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				peak := 0
				await.Until(t, "dx has ended", func() bool {
					peak = max(peak, memoryOf(cmd.Process.Pid))
					select {
					case <-ended:
						return true
					default:
						return false
					}
				})
				if peak == 0 || peak > maxMemory {
					t.Errorf("it took %d KiB at most, want some and no more than %d", peak, maxMemory)
				}
				if stderr.Len() == 0 {
					t.Error("it does not say what was wrong with the engine")
				}
			})
		}
	}
}

// memoryOf is what a process has had in memory at most, in KiB (proc_pid_status(5),
// VmHWM); 0 once it has ended.
func memoryOf(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	kib := 0
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(rest, &kib)
		}
	}
	return kib
}
