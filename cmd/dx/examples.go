package main

import (
	_ "embed"
	"strings"
)

// examplesText has a paragraph for each verb: its name, then lines of a command, at least
// two blanks, and a comment.
//
//go:embed examples.txt
var examplesText string

// examples are the uses of each verb that its help shows.
func examples() map[string]string {
	out := map[string]string{}
	for paragraph := range strings.SplitSeq(strings.TrimSuffix(examplesText, "\n"), "\n\n") {
		verb, lines, _ := strings.Cut(paragraph, "\n")
		out[verb] = lines
	}
	return out
}
