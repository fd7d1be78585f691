package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestExamples: every verb has three uses or more, and each is one that dx takes.
func TestExamples(t *testing.T) {
	of := examples()
	for _, cmd := range (&app{}).rootCommand("").Commands() {
		lines, ok := of[cmd.Name()]
		delete(of, cmd.Name())
		if !ok {
			if cmd.GroupID != "" {
				t.Errorf("%s has no examples", cmd.Name())
			}
			continue
		}
		uses := 0
		for line := range strings.SplitSeq(lines, "\n") {
			command, comment, _ := strings.Cut(line, "  #")
			if command = strings.TrimSpace(command); command == "" { // its comment stands alone
				continue
			}
			uses++
			mustTake(t, cmd.Name(), command)
			if comment == "" && !strings.Contains(lines, command+"\n      ") {
				t.Errorf("%s: %s has no comment", cmd.Name(), command)
			}
		}
		if uses < 3 {
			t.Errorf("%s has %d examples, want three", cmd.Name(), uses)
		}
	}
	for verb := range of {
		t.Errorf("examples of %q, which is no verb", verb)
	}
}

func mustTake(t *testing.T, verb, command string) {
	t.Helper()
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+command).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	cmd, args, err := (&app{}).rootCommand("").Find(words[1:])
	if err == nil {
		err = cmd.ParseFlags(args)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil || words[0] != "dx" || !strings.HasPrefix(cmd.CommandPath()+" ", "dx "+verb+" ") {
		t.Errorf("%s: %v, want a use of dx %s", command, err, verb)
	}
}
