package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Errors of usage have docker's texts and exit codes (docker/cli, cli/required.go
// and cli/cobra.go): 1 for a wrong number of arguments, 125 for a wrong flag, and
// for flags that exclude each other. Of diff and doctor, whose 1 is an answer, each
// is 125.

// usage is an error of flags or arguments with what docker prints behind it.
func usage(cmd *cobra.Command, err error, code int) error {
	return seeHelp(cmd, err, "Run", code)
}

func seeHelp(cmd *cobra.Command, err error, verb string, code int) error {
	return &clientError{code: code, err: fmt.Errorf("%w\n\nUsage:  %s\n\n%s '%s --help' for more information", err, cmd.UseLine(), verb, cmd.CommandPath())}
}

// conflict is an error of flags that are right alone and wrong together.
func conflict(cmd *cobra.Command, err error) error {
	return usage(cmd, fmt.Errorf("dx: %w", err), exitDx)
}

// checkRef refuses an empty name of a container, in the words of docker's client
// (moby, client/errors.go: emptyIDError).
func checkRef(ref string) error {
	if strings.TrimSpace(ref) == "" {
		return &clientError{code: exitFailure, err: errors.New("invalid container name or ID: value is empty")}
	}
	return nil
}

// noArguments takes none.
func noArguments(code int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return usage(cmd, fmt.Errorf("dx: '%s' accepts no arguments", cmd.CommandPath()), code)
	}
}

// atLeast takes n arguments or more.
func atLeast(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		// Docker says "See" here and "Run" elsewhere.
		return seeHelp(cmd, fmt.Errorf("dx: '%s' requires at least %s", cmd.CommandPath(), arguments(n)), "See", exitFailure)
	}
}

// exactly takes n arguments.
func exactly(n, code int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usage(cmd, fmt.Errorf("dx: '%s' requires %s", cmd.CommandPath(), arguments(n)), code)
	}
}

// oneOrTwo takes that many arguments, of a verb whose 1 is an answer.
func oneOrTwo(cmd *cobra.Command, args []string) error {
	if len(args) == 1 || len(args) == 2 {
		return nil
	}
	return usage(cmd, fmt.Errorf("dx: '%s' requires 1 or 2 arguments", cmd.CommandPath()), exitDx)
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// unknownVerb is docker's text (docker/cli, cmd/docker) and a guess at what was meant.
func unknownVerb(root *cobra.Command, verb string) error {
	text := fmt.Sprintf("dx: unknown command: %s %s\n\n", root.CommandPath(), verb)
	root.SuggestionsMinimumDistance = 2 // cobra's own default, which it sets too late for us
	if near := root.SuggestionsFor(verb); len(near) > 0 {
		text += "Did you mean this?\n\t" + strings.Join(near, "\n\t") + "\n\n"
	}
	return &clientError{code: exitFailure, err: fmt.Errorf("%sRun '%s --help' for more information", text, root.CommandPath())}
}

// choiceFlag is a flag that takes one of a few words.
type choiceFlag struct {
	value   *string
	choices []string
}

// newChoice sets value to the first of the choices, the default.
func newChoice(value *string, choices ...string) *choiceFlag {
	*value = choices[0]
	return &choiceFlag{value: value, choices: choices}
}

func (c *choiceFlag) String() string { return *c.value }
func (c *choiceFlag) Type() string   { return "string" }

func (c *choiceFlag) Set(s string) error {
	if !slices.Contains(c.choices, s) {
		last := len(c.choices) - 1
		return fmt.Errorf("it must be %s or %s", strings.Join(c.choices[:last], ", "), c.choices[last])
	}
	*c.value = s
	return nil
}

// periodFlag is a duration that is more than zero. Zero would be an answer that
// never comes in time, or a deadline that is none.
type periodFlag struct{ value *time.Duration }

// newPeriod sets value to the default.
func newPeriod(value *time.Duration, byDefault time.Duration) periodFlag {
	*value = byDefault
	return periodFlag{value}
}

func (p periodFlag) Type() string { return "duration" }

// String returns "0" where there is no default: help then shows none.
func (p periodFlag) String() string {
	if *p.value == 0 {
		return "0"
	}
	return p.value.String()
}

func (p periodFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	if d <= 0 {
		return errors.New("it must be more than zero")
	}
	*p.value = d
	return nil
}
