package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/proc"
)

// bundle is a tar.gz that is being written. The first error ends it.
type bundle struct {
	*masker
	tar  *tar.Writer
	when time.Time
	err  error
}

// Bundle writes an archive of all that was found, for a bug report: the report, what
// /proc has of the daemons and shims, the sockets, and each container's files. What
// cannot be read in time is left out, with the reason in its place. What may be a secret
// is masked, and MASKED.txt says where; so does the result, in a few words.
func (p *Examination) Bundle(ctx context.Context, w io.Writer, r *Report) (masked string, err error) {
	zip := gzip.NewWriter(w)
	b := &bundle{masker: newMasker(), tar: tar.NewWriter(zip), when: time.Now()}
	b.value("report.json", r, reportShape())
	p.mu.Lock()
	d, c, sockets := p.dockerd, p.containerd, p.sockets
	list := append([]container{}, p.kernel...)
	listed := p.listed
	p.mu.Unlock()
	b.value("list.json", listed, listShape())
	b.value("sockets.json", sockets, socketShape())
	for name, pr := range map[string]*proc.Process{"dockerd": d, "containerd": c} {
		if pr != nil {
			b.process(ctx, p.o.Timeout, "processes/"+name, pr, "cmdline")
		}
	}
	for _, c := range list {
		b.container(ctx, p.o.Timeout, c)
	}
	for _, d := range r.Dumps {
		if d.text != nil {
			b.add("dumps/"+d.Of+".txt", b.stacks(d.text, "dumps/"+d.Of+".txt"))
		}
	}
	b.add("MASKED.txt", b.list())
	return b.summary(), errors.Join(b.err, b.tar.Close(), zip.Close())
}

// value adds a value of dx's own as JSON.
func (b *bundle) value(name string, v any, s *shape) {
	data, err := json.Marshal(v)
	if err == nil {
		data, err = b.json(name, data, s)
	}
	if err != nil {
		data = []byte(err.Error())
	}
	b.add(name, data)
}

func (b *bundle) add(name string, data []byte) {
	if b.err != nil {
		return
	}
	b.err = b.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "dx-doctor/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: b.when})
	if b.err == nil {
		_, b.err = b.tar.Write(data)
	}
}

// read adds what f returns, or why it returned nothing. Reading may hang: a process
// whose memory is locked holds whoever reads its command line.
func (b *bundle) read(ctx context.Context, timeout time.Duration, name string, f func() ([]byte, error)) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := f()
		done <- result{data, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		r.err = ctx.Err()
	case <-time.After(timeout):
		r.err = fmt.Errorf("no answer within %v", timeout)
	}
	if host.IsGone(r.err) {
		return
	}
	if r.err != nil {
		r.data = []byte("not read: " + b.scrub(r.err.Error(), name))
	}
	b.add(name, r.data)
}

// kernelFiles are what the bundle has of a process.
var kernelFiles = []string{"status", "stat", "wchan", "stack", "limits", "cgroup", "mountinfo"}

func (b *bundle) process(ctx context.Context, timeout time.Duration, dir string, p *proc.Process, more ...string) {
	for _, name := range slices.Concat(kernelFiles, more) {
		at := dir + "/" + name
		mask := b.lines
		switch name {
		case "mountinfo":
			mask = b.mounts
		case "cmdline":
			mask = b.commandLine
		}
		b.read(ctx, timeout, at, func() ([]byte, error) {
			data, err := p.ReadFile(name)
			if err != nil {
				return nil, err
			}
			return mask(data, at), nil
		})
	}
	b.read(ctx, timeout, dir+"/threads", func() ([]byte, error) { return threads(p) })
}

// threads tells of each thread its state and where it is.
func threads(p *proc.Process) ([]byte, error) {
	var out bytes.Buffer
	for _, tid := range p.Threads() {
		if st, err := p.ThreadStat(tid); err == nil {
			fmt.Fprintf(&out, "%s %c %s\n", tid, st.State, where(p, "task/"+tid+"/"))
		}
	}
	return out.Bytes(), nil
}

func (b *bundle) container(ctx context.Context, timeout time.Duration, c container) {
	dir := "containers/" + fileName(b.scrub(c.Name, "containers")) + "-" + fileName(c.ID[:min(12, len(c.ID))])
	document := func(name string, s *shape, read func() ([]byte, error)) {
		b.read(ctx, timeout, dir+"/"+name, func() ([]byte, error) {
			data, err := read()
			if err != nil {
				return nil, err
			}
			return b.json(dir+"/"+name, data, s)
		})
	}
	if c.shim != nil {
		b.process(ctx, timeout, dir+"/shim", c.shim.Shim, "cmdline")
		document("config.json", specShape(), func() ([]byte, error) { return c.shim.ReadConfig("config.json") })
	}
	if pr, err := proc.Open(c.PID); err == nil {
		defer pr.Close()
		b.process(ctx, timeout, dir+"/init", pr) // its arguments are the container's
	}
	if d := c.found.Docker(); d != nil && c.shim != nil {
		for name, s := range map[string]*shape{"config.v2.json": storedShape(), "hostconfig.json": hostShape()} {
			document(name, s, func() ([]byte, error) { return readOf(c.shim.Shim, path.Join(path.Dir(d.Origin), name)) })
		}
	}
}

// fileName makes a name that an archive may hold of one that somebody else has chosen.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' || strings.ContainsRune("_.-*", r)) {
			return r
		}
		return '_'
	}, name)
}

// maxConfig bounds a container's file in a bundle.
const maxConfig = 8 << 20

// openIn opens a regular file for reading as a process sees its path.
func openIn(p *proc.Process, name string) (*os.File, error) {
	h, err := host.OpenPath(p, name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(h.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("open %s: %w", name, host.ErrNotRegular)
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(h.Fd())))
}

func readOf(p *proc.Process, name string) ([]byte, error) {
	f, err := openIn(p, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, f.Name(), maxConfig)
}

func readAtMost(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d MiB", name, limit>>20)
	}
	return b, err
}

// Digest is the same for two reports that say the same: numbers that change by
// themselves do not count.
func (r *Report) Digest() string {
	parts := []string{r.Status}
	for _, f := range r.Findings {
		if f.Severity > Note {
			parts = append(parts, string(f.Kind)+" "+f.Container+f.ID+" "+f.Path)
		}
	}
	return strings.Join(parts, "\n")
}
