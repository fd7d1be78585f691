// Package escape makes texts safe that somebody else chose: names, paths, arguments and
// errors of containers, users and engines, on their way to a terminal, into JSON that
// may be read on one, or into a command that is to be pasted.
//
// It is the one place that decides what can be seen. What a picture's format or a table
// needs beyond that is theirs.
package escape

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible reports whether a character can be seen for what it is, in every font and
// terminal: letters, marks, numbers, punctuation, symbols and the blank. It is none that
// a terminal obeys (C0, DEL, C1), that turns text round (U+202A to U+202E, U+2066 to
// U+2069), or that has no shape of its own: zero width, fillers, variation selectors,
// tags.
func Visible(r rune) bool {
	if r < utf8.RuneSelf {
		return ' ' <= r && r <= '~'
	}
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Line returns one line of visible characters; any other is written as in a Go string
// (\x1b, \n, \u202e), and so is a byte that is no UTF-8 (\xff).
func Line(s string) string { return text(s, Visible) }

// Lines is Line for a text that has lines and tabs of its own.
func Lines(s string) string {
	return text(s, func(r rune) bool { return r == '\n' || r == '\t' || Visible(r) })
}

func text(s string, plain func(rune) bool) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case plain(r):
			b.WriteRune(r)
		default:
			b.WriteString(inGo(r))
		}
		s = s[size:]
	}
	return b.String()
}

// inGo is a character as Go writes it, also one that Go would leave as it is.
func inGo(r rune) string {
	if unicode.IsPrint(r) {
		return strings.Trim(strconv.QuoteRuneToASCII(r), "'")
	}
	return strings.Trim(strconv.QuoteRune(r), "'")
}

// JSON returns a JSON text of the same value without an invisible character but the
// blanks between its parts: encoding/json leaves DEL, C1 and what turns text round as
// they are. In JSON they can only stand in strings.
func JSON(s string) string {
	hidden := func(r rune) bool { return r >= 0x7f && !Visible(r) }
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !hidden(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// Shell returns a text as one word for a shell, to be pasted: as it is, in single
// quotes, or with what cannot be seen as $'…' has it (POSIX.1-2024, bash, zsh, ksh,
// busybox). Quoting does not keep a word that begins with "-" from being an option.
func Shell(s string) string {
	switch {
	case s != "" && strings.IndexFunc(s, func(r rune) bool { return !inWord(r) }) < 0:
		return s
	case Line(s) == s:
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for i := range len(s) { // bytes: whatever the shell's locale
		if inWord(rune(s[i])) || s[i] == ' ' {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, `\%03o`, s[i])
		}
	}
	return "$'" + b.String() + "'"
}

// inWord are characters that mean nothing to any shell, wherever in a word they are.
func inWord(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-:@+,", r)
}
