package main

import (
	"os"
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
// docker's default where it runs. Behind the verb they may be the command's.
func withoutEngine(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		name, _, assigned := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(args[i], "-"):
			return append(out, args[i:]...)
		case name == "--host" || name == "-H" || name == "--context":
			if !assigned {
				i++
			}
		case strings.HasPrefix(name, "-H"): // -Htcp://x
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
