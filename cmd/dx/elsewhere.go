package main

import (
	"os"
	"slices"
	"strings"

	"dx/dockerx"
	"dx/nsops/escape"
)

// elsewhereHint is the command to run where the engine is, ready to paste.
func elsewhereHint(e *dockerx.OtherHostError) string {
	line := "dx"
	for _, arg := range withoutEngine(os.Args[1:]) {
		line += " " + escape.Shell(arg)
	}
	if e.Host == "" {
		return "; run there: " + line
	}
	return "; run there: ssh " + escape.Shell(e.Host) + " " + line
}

// withoutEngine are the arguments of dx without those that name an engine, which is
// docker's default where it runs. Behind the container they may be the command's.
func withoutEngine(args []string) []string {
	var out []string
	verb := ""
	for i := 0; i < len(args); i++ {
		name, _, assigned := strings.Cut(args[i], "=")
		switch {
		case args[i] == "--":
			return append(out, args[i:]...)
		case !strings.HasPrefix(args[i], "-"):
			if isVerbWithCommand(verb) {
				return append(out, args[i:]...)
			}
			if verb == "" {
				verb = args[i]
			}
			out = append(out, args[i])
		case slices.Contains(namesEngine, name):
			if !assigned {
				i++
			}
		case strings.HasPrefix(name, "-H"), strings.HasPrefix(name, "-c"): // -Htcp://x
		case strings.HasPrefix(name, "--tls"), name == "-D", name == "--debug" && verb == "":
		case name == "--api-timeout" || name == "--source":
			if out = append(out, args[i]); !assigned && i+1 < len(args) {
				i++
				out = append(out, args[i])
			}
		default:
			out = append(out, args[i])
		}
	}
	return out
}

var namesEngine = []string{
	"--host", "-H", "--context", "-c", "--config", "-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey",
}

func isVerbWithCommand(verb string) bool {
	return slices.Contains([]string{"exec", "shell", "debug", "top"}, verb)
}
