package output

import (
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
)

// ShortID cuts an ID as docker does (moby, pkg/stringid: TruncateID).
func ShortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// MaxText is how many characters of a text a table shows without --no-trunc.
const MaxText = 100

// Cut shortens a text for which no screen has room, and the IDs in it.
func Cut(text string) string { return CutTo(shortIDs(text), MaxText) }

// CutTo shortens a text to so many columns of a terminal.
func CutTo(text string, width int) string {
	return terminal.Truncate(text, width, "…")
}

// terminal measures texts as terminals show them: of a Chinese character or an emoji, two
// columns. A locale does not count.
var terminal = &runewidth.Condition{StrictEmojiNeutral: true}

// width is how many columns of a terminal a text takes.
func width(text string) int { return terminal.StringWidth(text) }

// shortIDs cuts the IDs of 64 digits in a path as ShortID cuts one.
func shortIDs(text string) string {
	parts := strings.FieldsFunc(text, func(r rune) bool { return !isHex(r) })
	for _, p := range parts {
		if len(p) == 64 {
			text = strings.ReplaceAll(text, p, ShortID(p)+"…")
		}
	}
	return text
}

func isHex(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' }

// Wrap joins words to lines of at most width bytes; a longer word has a line to itself.
func Wrap(words []string, width int) []string {
	var lines []string
	line := ""
	for _, w := range words {
		if line != "" && len(line)+1+len(w) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}

// JoinFew joins names, at most few of them unless all are wanted.
func JoinFew(names []string, sep string, few int, all bool) string {
	if more := len(names) - few; more > 0 && !all {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], sep), more)
	}
	return strings.Join(names, sep)
}
