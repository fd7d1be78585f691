package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// isCompletion reports whether a shell asks what may follow: the line is made by the
// scripts that dx completion prints.
func isCompletion(args []string) bool {
	return len(args) > 1 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// shells are those for which there is a script.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script for bash, zsh, fish or powershell",
		Long: "Print the script with which a shell completes dx: verbs and flags, running containers,\n" +
			"their programs and users, namespaces, filters, fields, contexts. The packages of dx\n" +
			"install the scripts; without them:\n\n" +
			"  source <(dx completion bash)                      in ~/.bashrc (with bash-completion)\n" +
			"  source <(dx completion zsh)                       in ~/.zshrc, after compinit\n" +
			"  dx completion fish | source                       in ~/.config/fish/config.fish\n" +
			"  dx completion powershell | Out-String | Invoke-Expression   in $PROFILE\n\n" +
			"Containers are looked up as by dx ps, for a tenth of a second or --api-timeout: when\n" +
			"dockerd hangs, those that the host shows are offered (with root).",
		Args:                  exactly(1, exitFailure),
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usage(cmd, unknownShell(args[0]), exitFailure)
		},
	}
}

func unknownShell(name string) error {
	return fmt.Errorf("dx: no completion for %q: it must be %s or %s", name, strings.Join(shells[:len(shells)-1], ", "), shells[len(shells)-1])
}

// offer is what a shell is told: the words, and nothing else.
func offer(words []string) ([]string, cobra.ShellCompDirective) {
	return words, cobra.ShellCompDirectiveNoFileComp
}

// offerParts is offer for words to which more is added.
func offerParts(words []string) ([]string, cobra.ShellCompDirective) {
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// fixed offers the same words always.
func fixed(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return offer(words) }
}

// listOf offers words for a comma-separated list, each once.
func listOf(words ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		var out []string
		for _, w := range words {
			if !slices.Contains(strings.Split(before, ","), w) {
				out = append(out, before+w)
			}
		}
		return offerParts(out)
	}
}
