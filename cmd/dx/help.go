package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

const shortHelp = "Inspect and enter any container on this host"

// groups are the verbs by what somebody wants.
func groups() []cobra.Group {
	return []cobra.Group{{ID: "in", Title: "Get in:"}, {ID: "see", Title: "See:"}, {ID: "repair", Title: "Repair:"}, {ID: "hand", Title: "By hand:"}}
}

func groupOf(verb string) string {
	switch verb {
	case "exec", "shell", "debug":
		return "in"
	case "ps", "ns", "top", "inspect", "diff", "who", "map":
		return "see"
	case "doctor":
		return "repair"
	case "unshare":
		return "hand"
	}
	return ""
}

// teach gives each verb its group and its examples.
func teach(root *cobra.Command) {
	list := groups()
	for i := range list {
		root.AddGroup(&list[i])
	}
	of := examples()
	for _, cmd := range root.Commands() {
		cmd.GroupID = groupOf(cmd.Name())
		cmd.Example = of[cmd.Name()]
	}
}

// helpCommand is cobra's with topics, and docker's words for one that there is not
// (docker/cli, cli/cobra.go).
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND|TOPIC]",
		Short: "Help about any command or topic",

		DisableFlagsInUseLine: true,

		RunE: func(cmd *cobra.Command, args []string) error {
			for _, t := range topics() {
				if len(args) == 1 && args[0] == t.name {
					cmd.Println(wrapText(t.title+"\n\n"+t.text, a.helpWidth()))
					return nil
				}
			}
			verb, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return &clientError{code: exitFailure, err: errors.New("unknown help topic: " + strings.Join(rest, " "))}
			}
			verb.InitDefaultHelpFlag() // which --help would add
			verb.InitDefaultVersionFlag()
			return verb.Help()
		},
	}
}
