package output

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/docker/cli/templates"

	"dx/nsops/escape"
)

// TemplateError is a --format that cannot be parsed or executed, in docker's words.
type TemplateError struct {
	Op  string // parse, execute
	Err error
}

func (e *TemplateError) Error() string { return fmt.Sprintf("failed to %s template: %v", e.Op, e.Err) }
func (e *TemplateError) Unwrap() error { return e.Err }

// parseTemplate takes what follows "table", or all (docker/cli, cli/command/formatter).
func parseTemplate(format string) (*template.Template, error) {
	text := strings.Trim(strings.TrimPrefix(format, "table"), " ")
	// A shell leaves \t and \n as two characters.
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	tmpl, err := templates.Parse(text)
	if err != nil {
		return nil, &TemplateError{Op: "parse", Err: err}
	}
	return tmpl, nil
}

func writeTemplate[T any](b *bytes.Buffer, p *Printer, records []T) error {
	var text bytes.Buffer
	if p.isColumns() {
		writeHeader[T](&text, p.template)
	}
	for _, rec := range records {
		if err := p.template.Execute(&text, rec); err != nil {
			return &TemplateError{Op: "execute", Err: err}
		}
		text.WriteByte('\n')
	}
	if !p.isColumns() {
		b.WriteString(p.screen.safe(text.String()))
		return nil
	}
	// docker/cli, cli/command/formatter: the same measures.
	w := tabwriter.NewWriter(b, 10, 1, 3, ' ', 0)
	io.WriteString(w, escape.Lines(text.String()))
	return w.Flush()
}

// headers are the names of columns by fields.
type headers map[string]string

// Label is the name of a column of .Label "a.b_c": "b c" (docker/cli, formatter/custom.go).
func (headers) Label(name string) string {
	last := name[strings.LastIndex(name, ".")+1:]
	return strings.NewReplacer("-", " ", "_", " ").Replace(last)
}

// writeHeader executes the template on the names of the columns. As in docker, what
// a template does with a name beyond printing it (range, index) ends the header.
func writeHeader[T any](b *bytes.Buffer, tmpl *template.Template) {
	names := headers{}
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
