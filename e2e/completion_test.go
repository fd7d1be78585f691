package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// prompt is what each shell shows when it is ready.
const prompt = "ready>"

// completingShells are shells on a terminal, without anybody's configuration, and how
// each is set up: as the help of dx completion says.
var completingShells = map[string]struct {
	command string
	setUp   []string
}{
	"bash": {"bash --norc --noprofile", []string{
		"PS1='" + prompt + " '", "export PATH=DX:$PATH DX_API_TIMEOUT=1m", ". /usr/share/bash-completion/bash_completion", "source <(dx completion bash)",
	}},
	"zsh": {"zsh -f", []string{
		"PS1='" + prompt + " '", "export PATH=DX:$PATH DX_API_TIMEOUT=1m", "autoload -U compinit && compinit -u -d TMP/zcompdump", "source <(dx completion zsh)",
	}},
	"fish": {"fish --no-config", []string{
		"function fish_prompt; echo '" + prompt + " '; end", "set -gx PATH DX $PATH; set -gx DX_API_TIMEOUT 1m", "dx completion fish | source",
	}},
}

// TestCompletion types into real shells and presses the tab key.
func TestCompletion(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	engine.Require(t, engine.Tmux)
	name := e.Name("tabbed")
	e.MustDocker(t, "run", "-d", "--name", name, "--label", "color=blue", engine.Busybox)
	t.Cleanup(func() { e.Docker(t, "rm", "-f", name) })
	begun := name[:len(name)-2]
	for shell, how := range completingShells {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("needs %s: %v; e2e/install-deps installs it", shell, err)
			}
			s := openScreen(t, e, how.command)
			for _, line := range how.setUp {
				s.line(strings.NewReplacer("DX", filepath.Dir(e.DxPath(t)), "TMP", t.TempDir()).Replace(line))
			}
			s.line("clear; echo set up")
			s.wait(`^set up$`)
			for typed, want := range map[string]string{
				"dx insp":                       "dx inspect ",
				"dx exec " + begun:              "dx exec " + name + " ",
				"dx exec " + name + " hostn":    "dx exec " + name + " hostname ",
				"dx exec --ns uts,us":           "dx exec --ns uts,user",
				"dx ps --filter status=pau":     "dx ps --filter status=paused ",
				"dx ps --filter name=" + begun:  "dx ps --filter name=" + name + " ",
				"dx ps --filter label=color=bl": "dx ps --filter label=color=blue ",
				"dx inspect --format js":        "dx inspect --format json",
				"dx --source ho":                "dx --source host ",
				"dx who ino":                    "dx who inode:",
				"dx --context def":              "dx --context default ",
				"dx help exit":                  "dx help exit-codes ",
				"dx top --sort rs":              "dx top --sort rss ",
				"dx exec -u od":                 "dx exec -u odd ",
			} {
				if shell == "fish" && strings.HasSuffix(want, ":") {
					continue // fish goes on with a file behind a colon
				}
				if shell == "bash" {
					want = strings.ReplaceAll(want, ",", `\,`) // cobra's script quotes it
				}
				s.wait(`^` + prompt + `$`) // what is typed before it is shown twice
				s.keys("-l", typed)
				s.keys("Tab")
				s.wait(`^` + prompt + ` ` + regexp.QuoteMeta(strings.TrimRight(want, " ")) + `$`)
				s.keys("-l", "#") // is there a blank, so that the next word can be typed?
				s.wait(`^` + prompt + ` ` + regexp.QuoteMeta(want+"#") + `$`)
				s.keys("C-u")
			}
		})
	}
}
