// Package pick lets somebody at a terminal choose one of several names by typing a part of
// it. It knows no containers.
package pick

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"github.com/moby/term"
	"github.com/sahilm/fuzzy"
	"golang.org/x/sys/unix"

	"dx/nsops/escape"
	"dx/nsops/tty"
)

// Item is one of those to choose from.
type Item struct{ Name, Note string }

// ErrCancelled says that nothing was chosen.
var ErrCancelled = errors.New("nothing was chosen")

// shown is how many items are on the screen at a time.
const shown = 10

// picker is a choice that goes on.
type picker struct {
	items []Item
	names []string
	typed string
	at    int // which of the matching ones
	width int
}

// One asks for one of the items. In is a terminal, which is in raw mode meanwhile; out is
// where the question goes, which is taken away again.
func One(in *os.File, out io.Writer, items []Item) (Item, error) {
	raw, err := tty.Raw(in)
	if err != nil {
		return Item{}, err
	}
	defer raw.Close()
	defer ended(func() {
		io.WriteString(out, gone)
		raw.Close()
	})()
	p := newPicker(items)
	if size, err := term.GetWinsize(in.Fd()); err == nil && size.Width > 0 {
		p.width = int(size.Width)
	}
	return p.ask(in, out)
}

// gone takes the question away again.
const gone = "\r\x1b[J"

// ended calls restore when a signal is about to end this process, until stop is called.
func ended(restore func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	go func() {
		if s, ok := <-signals; ok {
			restore()
			signal.Reset(s)
			_ = unix.Kill(os.Getpid(), s.(unix.Signal))
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

func newPicker(items []Item) *picker {
	p := &picker{items: items, width: 80}
	for _, item := range items {
		p.names = append(p.names, item.Name)
	}
	return p
}

// ask reads keys until one decides.
func (p *picker) ask(in io.Reader, out io.Writer) (Item, error) {
	defer io.WriteString(out, gone)
	for buf := make([]byte, 256); ; {
		io.WriteString(out, p.screen())
		n, err := in.Read(buf)
		if err != nil || n == 0 {
			return Item{}, ErrCancelled
		}
		switch chosen, done := p.keys(string(buf[:n])); {
		case done && chosen == nil:
			return Item{}, ErrCancelled
		case done:
			return *chosen, nil
		}
	}
}

// keys takes what was typed. Done without an item is the end without a choice.
func (p *picker) keys(text string) (chosen *Item, done bool) {
	for text != "" {
		if move, ok := arrows[text[:min(3, len(text))]]; ok {
			p.move(move)
			text = text[3:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch r {
		case '\r', '\n':
			if m := p.matching(); len(m) > 0 {
				return &m[p.at], true
			}
		case 0x1b, 3, 4: // escape, ctrl-C, ctrl-D
			return nil, true
		case 0x7f, '\b':
			_, last := utf8.DecodeLastRuneInString(p.typed)
			p.typed, p.at = p.typed[:len(p.typed)-last], 0
		case 21: // ctrl-U
			p.typed, p.at = "", 0
		case 14: // ctrl-N
			p.move(1)
		case 16: // ctrl-P
			p.move(-1)
		default:
			if escape.Visible(r) {
				p.typed, p.at = p.typed+string(r), 0
			}
		}
	}
	return nil, false
}

// arrows are what the keys send, in either mode of the terminal.
var arrows = map[string]int{"\x1b[A": -1, "\x1bOA": -1, "\x1b[B": 1, "\x1bOB": 1}

func (p *picker) move(by int) {
	if n := len(p.matching()); n > 0 {
		p.at = (p.at + by + n) % n
	}
}

// matching are the items that have what was typed in their names, the best first.
func (p *picker) matching() []Item {
	if p.typed == "" {
		return p.items
	}
	var out []Item
	for _, m := range fuzzy.Find(p.typed, p.names) {
		out = append(out, p.items[m.Index])
	}
	return out
}

// screen draws the question and leaves the cursor behind what was typed.
func (p *picker) screen() string {
	var b strings.Builder
	question := "Container: " + escape.Line(p.typed)
	b.WriteString(gone + p.cut(question))
	list := p.matching()
	first := max(0, p.at-shown+1)
	lines := 0
	for i := first; i < min(len(list), first+shown); i++ {
		mark := "  "
		if i == p.at {
			mark = "> "
		}
		fmt.Fprintf(&b, "\r\n%s", p.cut(mark+escape.Line(list[i].Name)+"   "+escape.Line(list[i].Note)))
		lines++
	}
	if rest := len(list) - first - lines; rest > 0 {
		fmt.Fprintf(&b, "\r\n%s", p.cut(fmt.Sprintf("  and %d more", rest)))
		lines++
	}
	if lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", lines)
	}
	b.WriteString("\r")
	if n := runewidth.StringWidth(p.cut(question)); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dC", n)
	}
	return b.String()
}

// cut leaves the last column free, where some terminals wrap.
func (p *picker) cut(text string) string { return runewidth.Truncate(text, p.width-1, "…") }
