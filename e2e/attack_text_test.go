package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"dx/e2e/engine"
)

// evil has what a terminal obeys, what turns text round, and what is not seen: ESC, BEL,
// CSI as one character (C1), overrides and isolates of direction, zero width space and
// joiner, a filler, a variation selector, a tag.
const evil = "e\x1b]0;owned\a\u009b2J\u202e\u2066\u200b\u200d\u3164\ufe0f\U000e0041v"

// unseen returns the first character of a text that is not one to be seen.
func unseen(text string) string {
	for _, r := range strings.ReplaceAll(text, "\r\n", "\n") { // as docker ends some lines
		hidden := unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
		if r != '\n' && r != '\t' && (hidden || !unicode.IsPrint(r)) {
			return strconv.QuoteRuneToASCII(r)
		}
	}
	return ""
}

// TestAttackByText: whatever a container calls its things, no verb prints it raw, in
// no format, to no stream.
func TestAttackByText(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox, "--label", "l="+evil, "-e", "E="+evil, "-w", "/w"+evil, "-v", "/v"+evil, "--tmpfs", "/t"+evil)
		other := e.Run(t, engine.Busybox)
		const idle = "while sleep 1; do :; done"
		e.Docker(t, "exec", "-d", c.Name, "sh", "-c", idle, evil)
		findProcess(t, c.ID, "sh\x00-c\x00"+idle+"\x00"+evil+"\x00")
		pid := strconv.Itoa(c.PID)
		for _, words := range [][]string{
			{"ps", "--no-trunc"}, {"ns", c.Name}, {"ns", "--tree", "--procs"}, {"ns", "--procs", "-a"}, {"top", "--no-trunc", c.Name}, {"who", pid, "/proc/" + pid + "/cwd", evil},
			{"inspect", "--no-trunc", c.Name}, {"diff", "--no-trunc", c.Name, other.Name}, {"ns", evil}, {"exec", evil, "true"}, {"doctor", "--no-trunc", "--timeout", "10s"},
		} {
			for _, format := range [][]string{nil, {"--format", "json"}} {
				if words[0] == "exec" && format != nil {
					continue
				}
				r := e.Dx(t, slices.Insert(slices.Clone(words), 1, format...)...)
				if got := unseen(r.Stdout + r.Stderr); got != "" {
					t.Errorf("dx %q %q prints %s: %q", words, format, got, r.Stdout+r.Stderr)
				}
			}
		}
		for _, words := range [][]string{
			{"map"}, {"map", "-o", "html"}, {"map", "-o", "dot"}, {"map", "-o", "mermaid"}, {"exec", "--debug", c.Name, "true"}, {"exec", "--explain", c.Name, "true"},
			{"exec", "-w", "/" + evil, c.Name, "true"}, {"exec", c.Name, "/" + evil + "/x"}, {"exec", "-u", evil, c.Name, "true"}, {"exec", "--env-file", "/" + evil, c.Name, "true"},
			{"debug", "--tools", "/" + evil, c.Name}, {"doctor", "--unmount", c.Name + ":/" + evil}, {"unshare", "--root", "/" + evil, "true"}, {"-H", "unix:///" + evil, "ps"}, {evil},
		} {
			r := e.Dx(t, words...)
			if got := unseen(r.Stdout + r.Stderr); got != "" {
				t.Errorf("dx %q prints %s: %q", words, got, r.Stdout+r.Stderr)
			}
		}
		if r := e.Dx(t, "top", "--no-trunc", c.Name); !strings.Contains(r.Stdout, `e\x1b]0;owned\a\u009b2J\u202e`) {
			t.Errorf("top shows %s", fmt.Sprintf("%q", r.Stdout))
		}
	})
}
