package main

import (
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dx/dockerx"
	"dx/dockerx/engine"
)

// app is what every verb needs: the streams and the global flags.
type app struct {
	in, out, err *os.File
	rawTerminal  bool // stdout is one that docker would have set to raw mode
	plugin       bool // called as docker dx

	host       string
	context    string
	tls        engine.TLSFiles
	apiTimeout time.Duration
	source     string
	colour     string // auto, always, never
}

// run executes one command line and returns its exit code.
func run(args []string, in, out, err *os.File) int {
	// net/http logs, raw, what an engine sends unasked.
	log.SetOutput(io.Discard)
	a := &app{in: in, out: out, err: err, plugin: isPlugin(os.Args[0])}
	if isMetadata(args) {
		return a.exitCode(a.printMetadata())
	}
	args = a.globals(args)
	root := a.rootCommand(verbOf(args))
	if a.plugin {
		bePlugin(root)
	}
	if isCompletion(args) {
		a.complete(root)
	}
	root.SetArgs(args)
	return a.exitCode(root.Execute())
}

// rootCommand has one verb, or all of them if there is none that is called so: what is run
// in loops does not pay for the flags of the others.
func (a *app) rootCommand(verb string) *cobra.Command {
	root := &cobra.Command{
		Use:           "dx [OPTIONS] COMMAND [ARG...]",
		Short:         shortHelp,
		Version:       versionLine(),
		SilenceUsage:  true,
		SilenceErrors: true,

		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownVerb(cmd, args[0])
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return environment(cmd.Flags()) },

		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetHelpCommand(a.helpCommand())
	root.SetHelpFunc(a.printHelp)
	root.SetUsageFunc(a.printUsage)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err, exitDx) })
	root.CompletionOptions.DisableDefaultCmd = true

	f := root.PersistentFlags()
	f.StringVarP(&a.host, "host", "H", "", "Docker engine to ask (default: DOCKER_HOST, then the docker context)")
	f.StringVar(&a.context, "context", "", "Docker context that names the engine to ask (not with --host)")
	f.Var(newPeriod(&a.apiTimeout, 250*time.Millisecond), "api-timeout", "How long to wait for each answer of the engine")
	f.Var(newChoice(&a.colour, "auto", "always", "never"), "color", "Use colors: auto (on a terminal), always, or never")
	f.Var(newChoice(&a.source, "auto", "engine", "host"), "source", "Where to look up containers: engine, host (no daemon), or auto (engine, falling back to host)")
	a.dockerFlags(f)

	verbs := a.verbs()
	if only, ok := verbs[verb]; ok && verb != "completion" { // which is about all of them
		verbs = map[string]func() *cobra.Command{verb: only}
	}
	for _, name := range slices.Sorted(maps.Keys(verbs)) {
		root.AddCommand(verbs[name]())
	}
	dockerLetters(root)
	teach(root)
	return root
}

// verbs make the commands.
func (a *app) verbs() map[string]func() *cobra.Command {
	return map[string]func() *cobra.Command{
		"completion": a.completionCommand,
		"debug":      a.debugCommand,
		"diff":       a.diffCommand,
		"doctor":     a.doctorCommand,
		"exec":       a.execCommand,
		"inspect":    a.inspectCommand,
		"map":        a.mapCommand,
		"ns":         a.nsCommand,
		"plugin":     a.pluginCommand,
		"ps":         a.psCommand,
		"shell":      a.shellCommand,
		"top":        a.topCommand,
		"unshare":    a.unshareCommand,
		"version":    a.versionCommand,
		"who":        a.whoCommand,
	}
}

func (a *app) resolver() (*dockerx.Resolver, error) {
	source, err := dockerx.ParseSource(a.source)
	if err != nil {
		return nil, &clientError{err: fmt.Errorf("invalid argument for --source: %w", err), code: exitDx}
	}
	return dockerx.NewResolver(dockerx.Options{
		Host:       a.host,
		Context:    a.context,
		TLS:        a.tls,
		From:       source,
		APITimeout: a.apiTimeout,
		Warn:       func(line string) { a.say("%s", line) },
	})
}

// printOrigins says on stderr where the facts about a container came from.
func (a *app) printOrigins(c *dockerx.Container, origins map[string]string) {
	a.say("%s: found by: %s", c.String(), c.Source)
	if c.Proof != "" {
		a.say("%s: believed: %s", c.String(), c.Proof)
	}
	for _, key := range slices.Sorted(maps.Keys(origins)) {
		a.say("%s: %s", key, origins[key])
	}
}
