// Package output prints the results of the verbs: records as a table, as JSON or by a
// template, and cards of several tables. It decides what is cut, coloured and escaped.
// It knows no containers; what is said beside a result is cmd/dx's own (say.go).
//
// A verb lists a slice of records. A record is an object of --format json and what
// templates see; its exported fields are therefore an interface to others. The rules of
// everything that is printed:
//
//   - Tables and cards never hold a character that cannot be seen (escape.Visible),
//     wherever they go.
//   - JSON is exact and still safe: what cannot be seen is escaped as JSON has it.
//   - Templates print what they are given; it is escaped only where the output is a
//     terminal.
package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"

	"github.com/spf13/pflag"

	"dx/nsops/escape"
)

// Record is one thing that a verb lists.
type Record[T any] interface {
	Short() T      // cut as docker cuts it without --no-trunc
	Quiet() string // what -q prints; empty: nothing
}

// Options are the flags of every verb that lists, as docker ps has them.
type Options struct {
	Format  string
	NoTrunc bool
	Quiet   bool
	Colour  string // auto, always, never; empty: auto
}

// Register adds the flags.
func (o *Options) Register(f *pflag.FlagSet) {
	o.register(f, "")
}

// RegisterShort adds them with -f, as docker inspect has it for --format.
func (o *Options) RegisterShort(f *pflag.FlagSet) { o.register(f, "f") }

func (o *Options) register(f *pflag.FlagSet, short string) {
	f.StringVarP(&o.Format, "format", short, "", "Format output using a custom template:\n"+
		"'table':          Print output in table format with column headers (default)\n"+
		"'table TEMPLATE': Print output in table format using the given Go template\n"+
		"'json':           Print one JSON object per line, never truncated\n"+
		"'TEMPLATE':       Print output using the given Go template, with docker's functions")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "Only display container IDs, instead of the table")
}

// Printer prints records where and as the flags ask.
type Printer struct {
	Options
	screen   Screen
	template *template.Template // nil for the table and for JSON
}

// New reads the flags, so that a wrong template is known before any work. Its error
// is a *TemplateError.
func New(f *os.File, o Options) (*Printer, error) {
	return newPrinter(NewScreen(f, o.Colour, os.Getenv), o)
}

func newPrinter(s Screen, o Options) (*Printer, error) {
	if o.NoTrunc {
		s.Width = 0
	}
	p := &Printer{screen: s, Options: o}
	if o.Format == "" || o.Format == "table" || o.Format == "json" {
		return p, nil
	}
	var err error
	p.template, err = parseTemplate(o.Format)
	return p, err
}

// On returns a printer of the same kind that prints elsewhere: for who draws on the terminal
// himself.
func (p *Printer) On(w io.Writer) *Printer {
	other := *p
	other.screen.Writer = w
	return &other
}

// IsTable reports whether the output is for people to read: a verb may then print
// more than one table.
func (p *Printer) IsTable() bool {
	return p.Format != "json" && p.template == nil && !p.Quiet
}

// Render prints records; table makes the verb's own table of them.
func Render[T Record[T]](p *Printer, records []T, table func() Table) error {
	var b bytes.Buffer
	err := renderInto(&b, p, records, table)
	_, errWrite := b.WriteTo(p.screen)
	return errors.Join(err, errWrite)
}

func renderInto[T Record[T]](b *bytes.Buffer, p *Printer, records []T, table func() Table) error {
	switch {
	case p.Format == "json":
		return writeJSON(b, records)
	case p.template != nil:
		return writeTemplate(b, p, Shorten(records, p.Options))
	case p.Quiet:
		for _, rec := range Shorten(records, p.Options) {
			if line := rec.Quiet(); line != "" {
				fmt.Fprintln(b, escape.Line(line))
			}
		}
		return nil
	}
	return table().write(b, p.screen)
}

// WriteTable prints a table beside a result, as stderr shows one.
func WriteTable(f *os.File, colour string, t Table) error {
	var b bytes.Buffer
	s := NewScreen(f, colour, os.Getenv)
	err := t.write(&b, s)
	_, errWrite := b.WriteTo(s)
	return errors.Join(err, errWrite)
}

// Shorten cuts records unless --no-trunc is given.
func Shorten[T Record[T]](records []T, o Options) []T {
	if o.NoTrunc {
		return records
	}
	short := make([]T, 0, len(records))
	for _, rec := range records {
		short = append(short, rec.Short())
	}
	return short
}

func writeJSON[T any](w io.Writer, records []T) error {
	for _, rec := range records {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(rec); err != nil {
			return err
		}
		if _, err := io.WriteString(w, escape.JSON(b.String())); err != nil {
			return err
		}
	}
	return nil
}

// isColumns reports whether a template makes a table.
func (p *Printer) isColumns() bool { return strings.HasPrefix(p.Format, "table") }
