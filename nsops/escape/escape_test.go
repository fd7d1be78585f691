package escape

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	hostile  = "a\x1b[2Jb\r\nc\u009bd\u202ee\x7ff\xffg\u2066\u200b\u3164\ufe0f\U000e0041"
	harmless = `a\x1b[2Jb\r\nc\u009bd\u202ee\x7ff\xffg\u2066\u200b\u3164\ufe0f\U000e0041`
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"web_1.a-b":          "web_1.a-b",
		"häuser 家 🐳 e\u0301": "häuser 家 🐳 e\u0301",
		`back\slash`:         `back\slash`,
		"'quoted'":           "'quoted'",
		hostile:              harmless,
		"\ufffd":             "\ufffd",
		"no\u00a0break":      `no\u00a0break`,
		"\u200e\u061c":       `\u200e\u061c`, // marks of direction
		"\u034f\u2028":       `\u034f\u2028`, // a joiner, a line separator
	} {
		if got := Line(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Lines("a\tb\n\x1b"); got != "a\tb\n\\x1b" {
		t.Errorf("lines: %q", got)
	}
}

func TestJSON(t *testing.T) {
	if got, want := JSON(`{"a":"ä`+"\u202e\u007f\u009b\U000e0041"+`"}`), `{"a":"ä\u202e\u007f\u009b\udb40\udc41"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// words are what Shell is tried with; shells say whether it was right.
var words = []string{
	"web", "/a/b-c", "", "a b", "$(reboot)", "it's", "`x`", "a;b", "a\nb", "a=b", "~", "=ls", "%1", "*", "a!b", "a\\b", `"`, "{a,b}", "#a", "!!", "-x",
	"\x1b]0;t\a", "it's\x1b!\\", "\u202e", "\xff\xfe", "häuser 家", "\x7f7", "\x011", "'", "\t", hostile,
}

// TestShell asks shells what they make of a word.
func TestShell(t *testing.T) {
	for text, want := range map[string]string{
		"web": "web", "/a/b-c": "/a/b-c", "": "''", "a b": "'a b'", "$(reboot)": "'$(reboot)'", "it's": `'it'\''s'`, "a\nb": `$'a\012b'`, "'\x1b": `$'\047\033'`,
	} {
		if got := Shell(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	asked := false
	for _, shell := range [][]string{{"bash"}, {"busybox", "sh"}, {"zsh"}, {"ksh"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			continue
		}
		asked = true
		for _, word := range words {
			out, err := exec.Command(shell[0], append(shell[1:], "-c", "printf %s "+Shell(word))...).Output()
			if word == "-x" { // an option to printf
				out, err = exec.Command(shell[0], append(shell[1:], "-c", "printf %s -- "+Shell(word))...).Output()
				out = []byte(strings.TrimPrefix(string(out), "--"))
			}
			if err != nil || string(out) != word {
				t.Errorf("%s reads %s as %q, %v, want %q", shell[0], Shell(word), out, err, word)
			}
		}
	}
	if !asked {
		t.Skip("no shell here knows $'…'")
	}
}

func FuzzLine(f *testing.F) {
	f.Add(hostile)
	f.Add("web")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if i := strings.IndexFunc(got, func(r rune) bool { return !Visible(r) }); i >= 0 || !utf8.ValidString(got) {
			t.Errorf("%q of %q", got, s)
		}
		if again := Line(got); again != got {
			t.Errorf("%q becomes %q, and that %q", s, got, again)
		}
	})
}

// FuzzJSON: the value stays what it was.
func FuzzJSON(f *testing.F) {
	f.Add(hostile)
	f.Add("\U000e0041\ud7ff\\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return // encoding/json replaces that
		}
		b, err := json.Marshal(map[string]string{s: s})
		if err != nil {
			t.Fatal(err)
		}
		text := JSON(string(b))
		if i := strings.IndexFunc(text, func(r rune) bool { return !Visible(r) }); i >= 0 {
			t.Errorf("%q is not visible at %d", text, i)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(text), &got); err != nil || got[s] != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	})
}

// FuzzShell reads a word as POSIX says a shell does.
func FuzzShell(f *testing.F) {
	for _, word := range words {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\x00") {
			return // no argument can hold it
		}
		word := Shell(s)
		if Line(word) != word {
			t.Errorf("%q is not visible", word)
		}
		if got := unquote(t, word); got != s {
			t.Errorf("%q becomes %s, which is %q", s, word, got)
		}
	})
}

func unquote(t *testing.T, word string) string {
	t.Helper()
	var b strings.Builder
	for len(word) > 0 {
		switch {
		case strings.HasPrefix(word, "$'"):
			word = word[2:]
			for word[0] != '\'' {
				if word[0] == '\\' {
					b.WriteByte((word[1]-'0')<<6 | (word[2]-'0')<<3 | (word[3] - '0'))
					word = word[4:]
					continue
				}
				b.WriteByte(word[0])
				word = word[1:]
			}
			word = word[1:]
		case word[0] == '\'':
			inside, rest, ok := strings.Cut(word[1:], "'")
			if !ok {
				t.Fatalf("a quote is open: %q", word)
			}
			b.WriteString(inside)
			word = rest
		case word[0] == '\\':
			b.WriteByte(word[1])
			word = word[2:]
		case inWord(rune(word[0])):
			b.WriteByte(word[0])
			word = word[1:]
		default:
			t.Fatalf("%q is not quoted", word)
		}
	}
	return b.String()
}
