package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/docker/cli/templates"
	"github.com/moby/term"
	"github.com/spf13/pflag"

	"dx/nsops/escape"
)

// What a verb lists is a slice of records. A record is an object of --format json
// and what templates see; its exported fields are therefore an interface to others.
// Rules of everything that is printed:
//
//   - Tables never hold a character that cannot be seen (escape.Visible), wherever they
//     go.
//   - JSON is exact and still safe: what cannot be seen is escaped as JSON has it.
//   - Templates print what they are given; it is escaped only where the output is a
//     terminal.

// record is one thing that a verb lists.
type record[T any] interface {
	short() T      // cut as docker cuts it without --no-trunc
	quiet() string // what -q prints; empty: nothing
}

// listOptions are the flags of every verb that lists, as docker ps has them.
type listOptions struct {
	format  string
	noTrunc bool
	quiet   bool
}

func (o *listOptions) register(f *pflag.FlagSet) {
	f.StringVar(&o.format, "format", "", "Format output using a custom template:\n"+
		"'table':          Print output in table format with column headers (default)\n"+
		"'table TEMPLATE': Print output in table format using the given Go template\n"+
		"'json':           Print one JSON object a line, never truncated\n"+
		"'TEMPLATE':       Print output using the given Go template, with docker's functions")
	f.BoolVar(&o.noTrunc, "no-trunc", false, "Don't truncate output")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Only display container IDs, in place of the table")
}

// output prints records where and as the flags ask.
type output struct {
	screen   screen
	options  listOptions
	template *template.Template // nil for the table and for JSON
}

// newOutput reads the flags, so that a wrong template is known before any work.
func newOutput(f *os.File, o listOptions) (*output, error) {
	out := &output{screen: newScreen(f, os.Getenv), options: o}
	if o.format == "" || o.format == "table" || o.format == "json" {
		return out, nil
	}
	// docker/cli, cli/command/formatter: a shell leaves \t and \n as two characters.
	text := strings.Trim(strings.TrimPrefix(o.format, "table"), " ")
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	tmpl, err := templates.Parse(text)
	if err != nil {
		return nil, &clientError{code: exitFailure, err: fmt.Errorf("failed to parse template: %w", err)}
	}
	out.template = tmpl
	return out, nil
}

// isTable says that people read it: a verb may print more than one table.
func (out *output) isTable() bool {
	return out.options.format != "json" && out.template == nil && !out.options.quiet
}

// render prints records; tab makes the verb's own table of them.
func render[T record[T]](out *output, records []T, tab func() table) error {
	var b bytes.Buffer
	err := renderInto(&b, out, records, tab)
	_, errWrite := b.WriteTo(out.screen)
	return errors.Join(err, errWrite)
}

func renderInto[T record[T]](b *bytes.Buffer, out *output, records []T, tab func() table) error {
	switch {
	case out.options.format == "json":
		return writeJSON(b, records)
	case out.template != nil:
		return writeTemplate(b, out, shorten(records, out.options))
	case out.options.quiet:
		for _, rec := range shorten(records, out.options) {
			if line := rec.quiet(); line != "" {
				fmt.Fprintln(b, escape.Line(line))
			}
		}
		return nil
	}
	return tab().write(b, out.screen.colour)
}

func shorten[T record[T]](records []T, o listOptions) []T {
	if o.noTrunc {
		return records
	}
	short := make([]T, 0, len(records))
	for _, rec := range records {
		short = append(short, rec.short())
	}
	return short
}

// shortID cuts an ID as docker does (moby, pkg/stringid: TruncateID).
func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
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

func writeTemplate[T any](b *bytes.Buffer, out *output, records []T) error {
	columns := strings.HasPrefix(out.options.format, "table")
	var text bytes.Buffer
	if columns {
		writeHeader[T](&text, out.template)
	}
	for _, rec := range records {
		if err := out.template.Execute(&text, rec); err != nil {
			return &clientError{code: exitFailure, err: fmt.Errorf("failed to execute template: %w", err)}
		}
		text.WriteByte('\n')
	}
	if !columns {
		b.WriteString(out.screen.safe(text.String()))
		return nil
	}
	// docker/cli, cli/command/formatter: the same measures.
	w := tabwriter.NewWriter(b, 10, 1, 3, ' ', 0)
	io.WriteString(w, escape.Lines(text.String()))
	return w.Flush()
}

// writeHeader executes the template on the names of the columns. As in docker, what
// a template does with a name beyond printing it (range, index) ends the header.
func writeHeader[T any](b *bytes.Buffer, tmpl *template.Template) {
	names := map[string]string{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		names[f.Name] = strings.ToUpper(f.Name)
		if name, ok := f.Tag.Lookup("header"); ok {
			names[f.Name] = name
		}
	}
	header, err := tmpl.Clone()
	if err == nil {
		header.Funcs(templates.HeaderFunctions).Execute(b, names)
	}
	b.WriteByte('\n')
}

// screen is where a result goes, and what that can show.
type screen struct {
	io.Writer
	terminal bool
	colour   bool
}

// newScreen looks at the file and at NO_COLOR (no-color.org) and TERM.
func newScreen(f *os.File, getenv func(string) string) screen {
	s := screen{Writer: f, terminal: term.IsTerminal(f.Fd())}
	dumb := getenv("TERM") == "" || getenv("TERM") == "dumb"
	s.colour = s.terminal && !dumb && getenv("NO_COLOR") == ""
	return s
}

// safe escapes control characters on a terminal and leaves them elsewhere.
func (s screen) safe(text string) string {
	if s.terminal {
		return escape.Lines(text)
	}
	return text
}
