package doctor

import (
	"context"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/proc"
)

// Dump is what a daemon wrote of its goroutines.
type Dump struct {
	Of         string // dockerd, containerd
	PID        int
	File       string `json:",omitempty"` // as the daemon's root names it
	Goroutines int    `json:",omitempty"`
	Groups     []Group
	Error      string `json:",omitempty"` // why there is none

	text []byte
}

// dumpTime bounds the wait for a dump.
const dumpTime = 5 * time.Second

// maxGroups is how many groups a dump keeps.
const maxGroups = 20

// Dump sends dockerd and containerd SIGUSR1, by which they write their goroutines
// to a file and go on, and reads the files (moby daemon/debugtrap_unix.go,
// containerd cmd/containerd/command/main_unix.go). A daemon that is not certainly
// the host's dockerd or containerd gets no signal: others die of it.
func (p *Patient) Dump(ctx context.Context) []Dump {
	p.mu.Lock()
	d, c, trust, execRoot := p.dockerd, p.containerd, p.trust, p.engine.ExecRoot
	p.mu.Unlock()
	var out []Dump
	if d != nil {
		out = append(out, dump(ctx, "dockerd", d, trust, execRoot, func(name string) bool {
			return strings.HasPrefix(name, "goroutine-stacks") && strings.HasSuffix(name, ".log")
		}))
	}
	if c != nil {
		out = append(out, dump(ctx, "containerd", c, trust, tempDir(c), func(name string) bool {
			return strings.HasPrefix(name, "containerd.") && strings.HasSuffix(name, ".stacks.log")
		}))
	}
	return out
}

// tempDir is os.TempDir of another process.
func tempDir(p *proc.Process) string {
	env, _ := p.ReadFile("environ")
	for v := range strings.SplitSeq(string(env), "\x00") {
		if dir, ok := strings.CutPrefix(v, "TMPDIR="); ok && dir != "" {
			return dir
		}
	}
	return "/tmp"
}

func dump(ctx context.Context, of string, p *proc.Process, trust *host.Trust, dir string, is func(string) bool) Dump {
	d := Dump{Of: of, PID: p.PID}
	err := mayDump(of, p, trust)
	if err == nil {
		err = d.take(ctx, p, dir, is)
	}
	if err != nil {
		d.Error = err.Error()
	}
	return d
}

func mayDump(of string, p *proc.Process, trust *host.Trust) error {
	st, err := p.Stat()
	switch {
	case err != nil:
		return err
	case st.State == 'T' || st.State == 't':
		return fmt.Errorf("%s is stopped: it can write nothing", of)
	case st.Comm != of || trust == nil || !trust.Host(p):
		return fmt.Errorf("pid %d is called %q: it gets no signal, as it may die of it", p.PID, st.Comm)
	}
	return nil
}

// take sends the signal and waits for a file that is new, or newer, and grows no
// more.
func (d *Dump) take(ctx context.Context, p *proc.Process, dir string, is func(string) bool) error {
	before, err := dumpFiles(p, dir, is)
	if err != nil {
		return err
	}
	if err := p.Signal(unix.SIGUSR1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dumpTime)
	defer cancel()
	last := dumpFile{}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no dump appeared in %s; it may be in %s's log", dir, d.Of)
		case <-time.After(50 * time.Millisecond):
		}
		now, err := dumpFiles(p, dir, is)
		if err != nil {
			return err
		}
		for name, f := range now {
			if f != before[name] && f == last && f.size > 0 {
				return d.read(p, path.Join(dir, name))
			}
			if f != before[name] {
				last = f
			}
		}
	}
}

func (d *Dump) read(p *proc.Process, name string) error {
	f, err := openIn(p, name)
	if err != nil {
		return err
	}
	defer f.Close()
	if d.text, err = readAtMost(f, maxDump); err != nil {
		return err
	}
	list, err := ParseGoroutines(strings.NewReader(string(d.text)))
	d.File, d.Goroutines = name, len(list)
	d.Groups = GroupGoroutines(list)
	d.Groups = d.Groups[:min(len(d.Groups), maxGroups)]
	return err
}

type dumpFile struct {
	inode uint64
	size  int64
	mtime int64
}

// dumpFiles lists dumps in a folder as a process sees it.
func dumpFiles(p *proc.Process, dir string, is func(string) bool) (map[string]dumpFile, error) {
	f, err := openIn(p, dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, _ := f.Readdirnames(1 << 16)
	out := map[string]dumpFile{}
	for _, name := range names {
		var st unix.Stat_t
		if !is(name) || unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		out[name] = dumpFile{inode: st.Ino, size: st.Size, mtime: st.Mtim.Nano()}
	}
	return out, nil
}

// openIn opens a regular file or folder for reading as a process sees its path.
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
	if t := st.Mode & unix.S_IFMT; t != unix.S_IFREG && t != unix.S_IFDIR {
		return nil, fmt.Errorf("open %s: %w", name, host.ErrNotRegular)
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(h.Fd())))
}
