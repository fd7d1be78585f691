package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Docker's global flags stand before the verb (docker/cli, cli/flags/options.go); dx takes
// them behind it too.

// globals takes docker's global flags from the front of a command line and returns the
// rest. In the plugin, docker's name for it is among them: `docker -H x dx -H y ps`.
func (a *app) globals(args []string) []string {
	if len(args) == 0 || !a.plugin && !strings.HasPrefix(args[0], "-") && !isCompletion(args) {
		return withoutGroup(args)
	}
	if isCompletion(args) { // the last word is still being typed
		last := len(args) - 1
		return append(append([]string{args[0]}, a.globals(args[1:last])...), args[last])
	}
	f := globalFlags{in: args}
	f.take()
	if a.plugin {
		if len(f.in) > 0 && f.in[0] == "help" { // docker help dx
			f.kept, f.in = append(f.kept, "help"), f.in[1:]
		}
		if len(f.in) > 0 && f.in[0] == "dx" {
			f.in = f.in[1:]
			f.take()
		}
	}
	return append(f.kept, withoutGroup(f.in)...)
}

// withoutGroup takes away "container" of docker container exec and the like.
func withoutGroup(args []string) []string {
	verbs := []string{"diff", "exec", "inspect", "list", "ls", "ps", "top"}
	if len(args) > 1 && args[0] == "container" && slices.Contains(verbs, args[1]) {
		return args[1:]
	}
	return args
}

// globalFlags are the arguments from which flags are taken.
type globalFlags struct {
	in   []string
	kept []string // flags that are left to cobra
}

// take leaves to cobra what it knows by the same name in front of any verb.
func (f *globalFlags) take() {
	for len(f.in) > 0 && len(f.in[0]) > 1 && f.in[0][0] == '-' && f.in[0] != "--" {
		if !strings.HasPrefix(f.in[0], "--") {
			f.letters(f.in[0])
			continue
		}
		name, value, inline := strings.Cut(f.in[0][2:], "=")
		n := 1
		if !inline && len(f.in) > 1 {
			value, n = f.in[1], 2
		}
		switch {
		case name == "debug": // a flag of exec's own, behind the verb
			f.in = f.in[1:]
		case name == "config" && (inline || n == 2): // before a shell's question, it says where contexts are
			os.Setenv("DOCKER_CONFIG", value)
			f.in = f.in[n:]
		case slices.Contains(valued, name):
			f.kept, f.in = append(f.kept, f.in[:n]...), f.in[n:]
		default:
			f.kept, f.in = append(f.kept, f.in[0]), f.in[1:]
		}
	}
}

// verbOf is the verb of a command line that globals has sorted; empty: it has none, or
// another flag in front of it, such as --help.
func verbOf(args []string) string {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, _, inline := strings.Cut(strings.TrimPrefix(args[0], "--"), "=")
		n := 2
		if inline {
			n = 1
		}
		if !slices.Contains(valued, name) || len(args) < n {
			return ""
		}
		args = args[n:]
	}
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// valued are the flags before the verb that take a value.
var valued = []string{"config", "log-level", "tlscacert", "tlscert", "tlskey", "host", "context", "api-timeout", "source", "color"}

// letters takes -D, -c VALUE, -cVALUE, -c=VALUE and -Dc VALUE. Behind a verb the letters
// may mean something else.
func (f *globalFlags) letters(arg string) {
	f.in = f.in[1:]
	for rest := arg[1:]; rest != ""; rest = rest[1:] {
		name := map[byte]string{'H': "host", 'c': "context", 'l': "log-level"}[rest[0]]
		value := strings.TrimPrefix(rest[1:], "=")
		switch {
		case rest[0] == 'D':
			continue
		case name == "":
			f.kept = append(f.kept, "-"+rest)
		case rest[1:] == "" && len(f.in) == 0:
			f.kept = append(f.kept, "--"+name) // cobra says what is missing
		case rest[1:] == "":
			f.kept, f.in = append(f.kept, "--"+name+"="+f.in[0]), f.in[1:]
		default:
			f.kept = append(f.kept, "--"+name+"="+value)
		}
		return
	}
}

// dockerFlags are docker's global flags that are none of dx's own. What they mean is what
// docker's variables say.
func (a *app) dockerFlags(f *pflag.FlagSet) {
	var ignored string
	f.Func("config", "Docker's configuration `directory`", func(dir string) error { return os.Setenv("DOCKER_CONFIG", dir) })
	f.StringVar(&ignored, "log-level", "", "Taken as docker takes it; dx has no log")
	f.BoolFunc("debug", "Taken as docker takes it; dx has no log", func(string) error { return nil })
	f.BoolFunc("tls", "Use TLS, whoever answers", switchOf("DOCKER_TLS"))
	f.BoolFunc("tlsverify", "Use TLS and verify who answers", func(value string) error {
		os.Setenv("DOCKER_TLS", "1") // as docker, also with =false
		return switchOf("DOCKER_TLS_VERIFY")(value)
	})
	f.StringVar(&a.tls.CA, "tlscacert", "", "Trust certificates that this `file` has signed")
	f.StringVar(&a.tls.Cert, "tlscert", "", "`File` of the client's certificate")
	f.StringVar(&a.tls.Key, "tlskey", "", "`File` of its key")
	for _, name := range []string{"config", "log-level", "debug", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey"} {
		f.Lookup(name).Hidden = true // dx help environment names them
	}
}

// switchOf sets a variable, or unsets it.
func switchOf(variable string) func(string) error {
	return func(value string) error {
		on, err := strconv.ParseBool(value)
		switch {
		case err != nil:
			return err
		case on:
			return os.Setenv(variable, "1")
		}
		return os.Unsetenv(variable)
	}
}

// dockerLetters gives the verbs docker's letters, as far as they have no other meaning
// there. -l is not among them: ps -l is docker's for the latest container.
func dockerLetters(root *cobra.Command) {
	for letter, name := range map[string]string{"c": "context", "D": "debug"} {
		for _, cmd := range root.Commands() {
			f := cmd.Flags()
			if f.ShorthandLookup(letter) == nil && f.Lookup(name) == nil && !cmd.HasSubCommands() {
				flag := *root.PersistentFlags().Lookup(name)
				flag.Shorthand = letter
				f.AddFlag(&flag)
			}
		}
	}
}

// environment takes the defaults of dx's own global flags from their variables.
func environment(f *pflag.FlagSet) error {
	for variable, name := range map[string]string{"DX_SOURCE": "source", "DX_API_TIMEOUT": "api-timeout"} {
		value := os.Getenv(variable)
		if value == "" || f.Changed(name) {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return &clientError{code: exitDx, err: fmt.Errorf("dx: invalid value %q of %s: %w", value, variable, errors.Unwrap(err))}
		}
	}
	return nil
}
