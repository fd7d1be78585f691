package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/moby/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dx/cmd/dx/output"
)

// What help is made of, as cobra's templates have it (cobra, command.go) and as wide as the
// terminal.

// pipeWidth is that of help that goes to no terminal.
const pipeWidth = 80

// helpWidth is the width of the terminal.
func (a *app) helpWidth() int {
	if size, err := term.GetWinsize(a.out.Fd()); err == nil && isTerminal(a.out) && size.Width > 0 {
		return int(size.Width)
	}
	return pipeWidth
}

func (a *app) printHelp(cmd *cobra.Command, _ []string) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", wrapText(strings.TrimSpace(text), a.helpWidth()), cmd.UsageString())
}

func (a *app) printUsage(cmd *cobra.Command) error {
	_, err := io.WriteString(cmd.OutOrStderr(), usageText(cmd, a.helpWidth()))
	return err
}

func usageText(cmd *cobra.Command, width int) string {
	var b strings.Builder
	section := func(title, text string) {
		if text = strings.TrimRight(text, " \n"); text != "" {
			fmt.Fprintf(&b, "\n%s\n%s\n", title, text)
		}
	}
	fmt.Fprintf(&b, "Usage:\n%s\n", wrapText("  "+cmd.UseLine(), width))
	if len(cmd.Aliases) > 0 {
		section("Aliases:", "  "+cmd.NameAndAliases())
	}
	section("Examples:", cmd.Example)
	for _, group := range cmd.Groups() {
		section(group.Title, verbLines(cmd, group.ID, width))
	}
	if title := "Available Commands:"; len(cmd.Groups()) == 0 {
		section(title, verbLines(cmd, "", width))
	} else {
		section("Additional Commands:", verbLines(cmd, "", width))
	}
	section("Flags:", flagText(cmd.LocalFlags(), width))
	section("Global Flags:", flagText(cmd.InheritedFlags(), width))
	if cmd.HasAvailableSubCommands() {
		more := "Run '" + cmd.CommandPath() + " COMMAND --help' for more information on a command"
		if !cmd.HasParent() {
			more += ", or 'dx help TOPIC' on one of: " + strings.Join(topicNames(), ", ")
		}
		fmt.Fprintf(&b, "\n%s\n", wrapText(more+".", width))
	}
	return b.String()
}

// verbLines are the verbs of a group.
func verbLines(cmd *cobra.Command, group string, width int) string {
	var lines []string
	for _, sub := range cmd.Commands() {
		if sub.GroupID == group && (sub.IsAvailableCommand() || sub.Name() == "help") {
			lines = append(lines, wrapText(fmt.Sprintf("  %-*s  %s", sub.NamePadding(), sub.Name(), sub.Short), width))
		}
	}
	return strings.Join(lines, "\n")
}

func flagText(f *pflag.FlagSet, width int) string {
	if !f.HasAvailableFlags() {
		return ""
	}
	return f.FlagUsagesWrapped(width)
}

// maxProse is how wide running text may become: longer lines are hard to read.
const maxProse = 100

// wrapText breaks lines anew at a width: those of a paragraph together, those that are
// indented each by itself, below their second column.
func wrapText(text string, width int) string {
	var out, paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			out = append(out, output.Wrap(strings.Fields(strings.Join(paragraph, " ")), min(width, maxProse))...)
			paragraph = nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && line[0] != ' ' {
			paragraph = append(paragraph, line)
			continue
		}
		flush()
		out = append(out, hang(line, width)...)
	}
	flush()
	return strings.Join(out, "\n")
}

// hang breaks a line that is indented. Its other lines begin where its last column does; if
// that is too far to the right, the column has lines of its own.
func hang(line string, width int) []string {
	if utf8.RuneCountInString(line) <= width {
		return []string{line}
	}
	head := regexp.MustCompile(`^.*\S {2,}|^ *`).FindString(line)
	rest := strings.Fields(line[len(head):])
	indent := strings.Repeat(" ", utf8.RuneCountInString(head))
	var lines []string
	if len(indent) > width*2/3 {
		const deeper = 4
		lines = append(lines, strings.TrimRight(head, " "))
		indent = strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " "))+deeper)
		head = indent
	}
	for i, text := range output.Wrap(rest, max(width-len(indent), 1)) {
		if i == 0 {
			lines = append(lines, head+text)
		} else {
			lines = append(lines, indent+text)
		}
	}
	return lines
}
