package main

import (
	"context"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/engine"
	"dx/dockerx/execspec"
	"dx/nsops"
	"dx/nsops/escape"
)

// What a shell is offered. It becomes a part of the command line: only words that mean
// nothing to a shell are offered, whoever chose them (escape.Shell).

// completeTimeout is how long an engine has for a completion, unless --api-timeout says
// otherwise; then the host is asked, as by dx ps.
const completeTimeout = 100 * time.Millisecond

// completer answers a shell. Nothing is said on stderr, where somebody is typing.
type completer struct {
	*app
	null *os.File // nil: there is no /dev/null
}

// complete gives verbs and flags what may be offered for them. It is called only when a
// shell asks: dx exec pays nothing for it.
func (a *app) complete(root *cobra.Command) {
	c := &completer{app: a}
	c.null, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	root.InitDefaultHelpCmd() // which a run adds too late
	for _, cmd := range root.Commands() {
		if args := c.arguments(cmd.Name()); args != nil {
			cmd.ValidArgsFunction = args
		}
		c.flags(cmd, cmd.Flags())
	}
	c.flags(root, root.PersistentFlags())
}

// arguments are those of a verb; nil: files, as without completion.
func (c *completer) arguments(verb string) cobra.CompletionFunc {
	switch verb {
	case "exec":
		return c.execArguments
	case "debug", "shell":
		return c.upTo(1)
	case "diff":
		return c.upTo(2, "host")
	case "inspect", "map", "top":
		return c.upTo(1000)
	case "ns":
		return c.upTo(1000, "host")
	case "who":
		return completeThings
	case "completion":
		return fixed(shells...)
	case "doctor", "ps", "version":
		return fixed()
	case "help":
		return completeTopics
	}
	return nil
}

// flags sets what the values of flags may be. Who is not in the list takes no file.
func (c *completer) flags(cmd *cobra.Command, flags *pflag.FlagSet) {
	offers := map[string]cobra.CompletionFunc{
		"context": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return offer(plain(engine.Contexts(os.Getenv)))
		},
		"each":        c.each,
		"engine":      c.engines,
		"env":         completeEnvironment,
		"filter":      c.filters,
		"format":      completeFormat,
		"ns":          listOf("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"),
		"propagation": fixed("private", "shared", "slave", "unchanged"),
		"user":        c.users,
	}
	files := []string{"bundle", "env-file", "root", "tools", "wd"}
	flags.VisitAll(func(f *pflag.Flag) {
		complete := offers[f.Name]
		if choice, ok := f.Value.(*choiceFlag); ok {
			complete = fixed(choice.choices...)
		}
		if _, ok := f.Value.(*pictureFlag); ok {
			complete = formatOrFile
		}
		if complete == nil && !slices.Contains(files, f.Name) {
			complete = fixed()
		}
		if complete != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, complete)
		}
	})
}

// formatOrFile offers the formats of pictures, and else what a shell offers for a file.
func formatOrFile(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for name := range pictures {
		if strings.HasPrefix(name, typed) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, cobra.ShellCompDirectiveDefault
}

// resolve lends run a resolver with a deadline that suits somebody who types.
func (c *completer) resolve(cmd *cobra.Command, run func(context.Context, *dockerx.Resolver)) {
	a := *c.app // as the flags say
	a.err = c.null
	_ = environment(cmd.Flags())
	if !cmd.Flag("api-timeout").Changed {
		a.apiTimeout = completeTimeout
	}
	_ = a.withResolver(func(r *dockerx.Resolver) error {
		run(context.Background(), r)
		return nil
	})
}

// list is dx ps, or what could be seen of it.
func (c *completer) list(cmd *cobra.Command, all bool) (list []dockerx.Listed) {
	c.resolve(cmd, func(ctx context.Context, r *dockerx.Resolver) { list, _ = r.List(ctx, all) })
	return list
}

// upTo offers running containers for so many arguments, each once, and other words.
func (c *completer) upTo(n int, others ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= n {
			return offer(nil)
		}
		words := slices.Concat(containerWords(c.list(cmd, false), typed), others)
		return offer(slices.DeleteFunc(words, func(w string) bool {
			name, _, _ := strings.Cut(w, "\t")
			return slices.Contains(args, name)
		}))
	}
}

// containerWords are names with what else is known, and IDs where one has been begun.
func containerWords(list []dockerx.Listed, typed string) []string {
	var out []string
	for _, l := range list {
		about := "\t" + describe(l.Image+" "+l.Status)
		if l.Name != "" && isPlain(l.Name) {
			out = append(out, l.Name+about)
		}
		if scheme, _, ok := strings.Cut(typed, ":"); ok && l.Reference != l.Name && strings.HasPrefix(l.Reference, scheme+":") && isPlain(l.Reference) {
			out = append(out, l.Reference+about)
		}
		if service := l.ComposeReference(); strings.HasPrefix(typed, "comp") && isPlain(service) {
			out = append(out, service+about)
		}
		if typed != "" && strings.HasPrefix(l.ID, typed) || l.Name == "" {
			out = append(out, output.ShortID(l.ID)+about)
		}
	}
	return out
}

// describe makes a text harmless in the lists that shells show.
func describe(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '(' || r == ')' || isPlain(string(r)) {
			return r
		}
		return '?'
	}, strings.TrimSpace(text))
}

// isPlain reports whether a word means nothing to any shell, wherever it stands.
func isPlain(word string) bool {
	return word != "" && word[0] != '-' && escape.Shell(word) == word
}

func plain(words []string) []string {
	words = slices.DeleteFunc(words, func(w string) bool { return !isPlain(w) })
	slices.Sort(words)
	return slices.Compact(words)
}

// execArguments are a container, and a program of it.
func (c *completer) execArguments(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if several := cmd.Flags(); several.Changed("all") || several.Changed("filter") || several.Changed("engine") || several.Changed("each") {
		return offer(nil) // what is offered here would be run in all of them
	}
	if len(args) == 1 && cmd.Flags().Changed("ns") {
		return nil, cobra.ShellCompDirectiveDefault // a program of the host
	}
	if len(args) != 1 || strings.Contains(typed, "/") {
		return c.upTo(1)(cmd, args, typed)
	}
	var names []string
	c.resolve(cmd, func(ctx context.Context, r *dockerx.Resolver) {
		found, err := r.Resolve(ctx, args[0])
		if err != nil {
			return
		}
		defer found.Close()
		names, _ = execspec.Programs(ctx, found)
	})
	return offer(plain(names))
}

// each offers running containers for a comma-separated list.
func (c *completer) each(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, l := range c.list(cmd, false) {
		if isPlain(l.Name) {
			names = append(names, l.Name)
		}
	}
	return listOf(names...)(cmd, args, typed)
}

// engines offers those that have containers.
func (c *completer) engines(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return offer(engineNames(c.list(cmd, false)))
}

// users are those of the running containers: the one that is meant comes behind the flag.
func (c *completer) users(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	const few = 8
	var names []string
	c.resolve(cmd, func(ctx context.Context, r *dockerx.Resolver) {
		list, err := r.Running(ctx)
		if err != nil {
			return
		}
		defer dockerx.CloseAll(list)
		for _, found := range list[:min(few, len(list))] {
			users, _ := execspec.Users(found)
			names = append(names, users...)
		}
	})
	return offer(plain(names))
}

// filters are keys, and then the values of one.
func (c *completer) filters(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	key, _, ok := strings.Cut(typed, "=")
	if !ok {
		var keys []string
		for _, key := range dockerx.FilterKeys() {
			keys = append(keys, key+"=")
		}
		return offerParts(keys)
	}
	var out []string
	switch key {
	case "engine":
		out = engineNames(c.list(cmd, false))
	case "health":
		out = []string{"healthy", "none", "starting", "unhealthy"}
	case "is-task":
		out = []string{"false", "true"}
	case "status":
		out = []string{"created", "dead", "exited", "paused", "removing", "restarting", "running"}
	case "before", "since":
		for _, l := range c.list(cmd, true) {
			out = append(out, l.Name)
		}
	case "name":
		for _, l := range c.list(cmd, true) {
			out = append(out, l.BareName())
		}
	case "label":
		for _, l := range c.list(cmd, true) {
			for name, value := range l.Labels {
				out = append(out, name)
				if isPlain(value) && strings.HasPrefix(typed, "label="+name+"=") {
					out = append(out, name+"="+value)
				}
			}
		}
	}
	out = slices.DeleteFunc(out, func(w string) bool { return !isPlain(strings.Replace(w, "=", "", 1)) })
	slices.Sort(out)
	for i := range out {
		out[i] = key + "=" + out[i]
	}
	return offer(slices.Compact(out))
}

// recordOf is what a verb lists, whose fields templates see; nil: not known.
func recordOf(verb string) reflect.Type {
	switch verb {
	case "diff":
		return reflect.TypeFor[diffRecord]()
	case "inspect":
		return reflect.TypeFor[inspectRecord]()
	case "ns":
		return reflect.TypeFor[nsRecord]()
	case "ps":
		return reflect.TypeFor[psRecord]()
	case "top":
		return reflect.TypeFor[topRecord]()
	case "version":
		return reflect.TypeFor[versionRecord]()
	case "who":
		return reflect.TypeFor[whoRecord]()
	}
	return nil
}

// completeFormat offers the formats, and fields where a template has been begun.
func completeFormat(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	before, _, ok := cutLast(typed, "{{")
	if !ok {
		return offerParts([]string{"json", "table", "{{."})
	}
	var out []string
	if record := recordOf(cmd.Name()); record != nil {
		for _, f := range reflect.VisibleFields(record) {
			if f.IsExported() && !f.Anonymous {
				out = append(out, before+"{{."+f.Name+"}}")
			}
		}
	}
	return offerParts(out)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 || strings.Contains(s[i:], "}}") {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// completeThings offers what dx who takes: prefixes, and the host's interfaces.
func completeThings(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if strings.HasPrefix(typed, "/") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	if strings.HasPrefix(typed, "if:") {
		var out []string
		all, _ := net.Interfaces()
		for _, i := range all {
			if isPlain(i.Name) {
				out = append(out, "if:"+i.Name)
			}
		}
		return offer(out)
	}
	words := []string{
		"pid:\ta process, by its PID here", "inode:\ta namespace, by its number", "if:\tan interface", "ip:\tan address",
		"cgroup:\ta cgroup", "path:\ta volume, a bind, an overlay directory, or below one",
		"port:\ta port, published or listened on", "tcp:\ta TCP port", "udp:\ta UDP port", "socket:\tan open socket, by its number",
	}
	for _, t := range nsops.Types {
		if t != nsops.PID && t != nsops.Cgroup { // which are said already
			words = append(words, string(t)+":\ta namespace, as readlink prints it")
		}
	}
	return offerParts(words)
}

// completeEnvironment offers the names of the caller's variables, as docker does.
func completeEnvironment(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		names = append(names, name)
	}
	return offer(plain(names))
}

// completeTopics offers verbs and the topics of help.
func completeTopics(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return offer(nil)
	}
	var out []string
	for _, sub := range cmd.Root().Commands() {
		if sub.IsAvailableCommand() {
			out = append(out, sub.Name()+"\t"+sub.Short)
		}
	}
	for _, t := range topics() {
		out = append(out, t.name+"\t"+t.title)
	}
	return offer(out)
}
