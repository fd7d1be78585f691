package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/moby/term"

	"dx/dockerx"
	"dx/nsops/escape"
)

// maxLine is how much of a line without an end is printed as one.
const maxLine = 64 << 10

// behindNames prints lines behind the names of containers.
type behindNames struct {
	*app
	width  int
	outRaw bool // a screen would act on what a container writes
	errRaw bool
	mu     sync.Mutex
}

func (a *app) linesOf(list []*dockerx.Target) *behindNames {
	b := &behindNames{app: a, outRaw: term.IsTerminal(a.out.Fd()), errRaw: term.IsTerminal(a.err.Fd())}
	for _, t := range list {
		b.width = max(b.width, utf8.RuneCountInString(escape.Line(t.Name)))
	}
	return b
}

func (b *behindNames) streams(t *dockerx.Target, out, err *os.File) func(execRecord) {
	name := escape.Line(t.Name)
	prefix := name + strings.Repeat(" ", b.width-utf8.RuneCountInString(name)) + " | "
	var wg sync.WaitGroup
	wg.Go(func() { b.copy(prefix, b.app.out, out, b.outRaw) })
	wg.Go(func() { b.copy(prefix, b.app.err, err, b.errRaw) })
	return func(execRecord) { wg.Wait() }
}

// copy prints line by line until the stream ends.
func (b *behindNames) copy(prefix string, to io.Writer, from io.ReadCloser, screen bool) {
	defer from.Close()
	r := bufio.NewReaderSize(from, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			b.line(prefix, to, line, screen)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// line prints one in one write, so that lines of several containers stay whole.
func (b *behindNames) line(prefix string, to io.Writer, line []byte, screen bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if screen {
		line = []byte(escape.Lines(string(bytes.TrimSuffix(line, []byte("\r")))))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = io.WriteString(to, prefix+string(line)+"\n")
}

// execRecord is one line of dx exec --format json.
type execRecord struct {
	Name, ID, Engine string
	ExitCode         int
	Stdout, Stderr   string
	Encoding         string `json:",omitempty"` // base64: what was written is no UTF-8
	Truncated        bool   `json:",omitempty"` // after maxKept bytes of a stream
}

// maxKept is how much of each stream is kept for JSON: 1,000 containers may write
// without end.
const maxKept = 1 << 20

// asJSON prints an object for each container once its command has ended.
type asJSON struct {
	*app
	mu sync.Mutex
}

func (a *app) jsonOf() *asJSON { return &asJSON{app: a} }

func (j *asJSON) streams(_ *dockerx.Target, out, err *os.File) func(execRecord) {
	var wg sync.WaitGroup
	var stdout, stderr kept
	wg.Go(func() { stdout.take(out) })
	wg.Go(func() { stderr.take(err) })
	return func(rec execRecord) {
		wg.Wait()
		rec.Stdout, rec.Stderr, rec.Encoding = texts(stdout.b, stderr.b)
		rec.Truncated = stdout.more || stderr.more
		j.write(rec)
	}
}

func (j *asJSON) write(rec execRecord) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(rec) // of strings and numbers
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = io.WriteString(j.app.out, escape.JSON(b.String()))
}

// kept is the beginning of a stream.
type kept struct {
	b    []byte
	more bool
}

func (k *kept) take(from io.ReadCloser) {
	defer from.Close()
	k.b, _ = io.ReadAll(io.LimitReader(from, maxKept))
	n, _ := io.Copy(io.Discard, from)
	k.more = n > 0
}

// texts are both streams as they are, or both in base64.
func texts(out, err []byte) (stdout, stderr, encoding string) {
	if utf8.Valid(out) && utf8.Valid(err) {
		return string(out), string(err), ""
	}
	return base64.StdEncoding.EncodeToString(out), base64.StdEncoding.EncodeToString(err), "base64"
}
