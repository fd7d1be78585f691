package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// topWords are the arguments of dx top: containers, and options of ps.
type topWords struct {
	refs, ps []string

	// mayBeCalled says that the first of ps are options by their letters alone: a container
	// may be called so.
	mayBeCalled bool
}

// takeTopWords takes the arguments apart. Long options that dx top has are its own, up to the
// first of ps.
func takeTopWords(f *pflag.FlagSet, words []string) (topWords, error) {
	var w topWords
	for len(words) > 0 {
		word := words[0]
		name, _, inline := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		own := f.Lookup(name)
		switch {
		case word == "--":
			w.ps = words[1:]
			return w, nil
		case strings.HasPrefix(word, "--") && own != nil:
			n := 1
			if !inline && own.NoOptDefVal == "" {
				n = min(2, len(words))
			}
			if err := f.Parse(words[:n]); err != nil {
				return w, err
			}
			words = words[n:]
			continue
		case strings.HasPrefix(word, "-"), len(w.refs) > 0 && isPSLetters(word):
			w.ps, w.mayBeCalled = words, word[0] != '-'
			return w, nil
		}
		w.refs, words = append(w.refs, word), words[1:]
	}
	return w, nil
}

// isPSLetters reports whether a word is options of ps without a dash (ps(1), BSD options), as
// "aux"; the last one may take an argument, which is the next word: "axo".
func isPSLetters(word string) bool {
	if word == "" {
		return false
	}
	last := len(word) - 1
	return strings.Trim(word[:last], "acefghjlLmnNrsSTuvVwxXZ") == "" && strings.Contains("acefghjlLmnNrsSTuvVwxXZkoOpqtU", word[last:])
}
