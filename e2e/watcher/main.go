// Command watcher is what a hostile process in a container would be: it waits for
// each new process in its PID namespace and looks at it, as early and as often as
// it can, through /proc. It prints an observation a line in JSON, and ends when
// its standard input does:
//
//	watcher [STRING...] <pipe
//
// STRINGs are looked for in the memory and the executable of each new process.
// What is allowed to be seen is for the reader to judge.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// lookahead is how many process numbers after the last one are tried: numbers
// are given in order, and the watcher's own threads take some.
const lookahead = 24

// maxLooks bounds how often one process is looked at.
const maxLooks = 400

// Observation is what one look at a process showed. A field is empty when it
// could not be read.
type Observation struct {
	PID     int
	FDs     map[string]string // number → what it is, and how it is open
	Status  map[string]string // lines of /proc/PID/status about rights
	Exe     string
	Foreign []string // of root, cwd, ns/*: what is not the watcher's own
	Environ []string
	Cmdline []string
	// ExeWritable says that the executable could be opened for writing.
	ExeWritable bool
	// Found lists the strings that are in its memory or its executable.
	Found []string `json:",omitempty"`
}

func main() {
	var stop atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	w := &watcher{secrets: os.Args[1:], out: json.NewEncoder(os.Stdout)}
	w.warmUp()
	os.Stdout.WriteString("ready\n")
	for !stop.Load() {
		w.scan()
	}
}

type watcher struct {
	secrets []string
	out     *json.Encoder
	last    int
}

// warmUp makes the run time start its threads now, and begins after the last PID.
func (w *watcher) warmUp() {
	for range 50 {
		w.look(os.Getpid())
	}
	w.last = newest()
}

// newest is the last number that was given here: the last field of /proc/loadavg.
func newest() int {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	n, _ := strconv.Atoi(f[len(f)-1])
	return n
}

func (w *watcher) scan() {
	if n := newest(); n > w.last+lookahead {
		w.last = n - lookahead // those have gone while it did not run
	}
	for pid := w.last + 1; pid <= w.last+lookahead; pid++ {
		if unix.Access("/proc/"+strconv.Itoa(pid), unix.F_OK) != nil {
			continue
		}
		w.last = pid
		w.follow(pid)
		return
	}
}

// follow looks at a process until it has gone or has settled, and prints each
// look that differs from the one before.
func (w *watcher) follow(pid int) {
	var before Observation
	var found []string // looked for once in each program that the process becomes
	same := 0
	for range maxLooks {
		o, alive := w.look(pid)
		if !alive || w.isThread(pid) {
			return
		}
		if reflect.DeepEqual(o, before) {
			if same++; same > 20 {
				return
			}
			continue
		}
		if o.Exe != before.Exe {
			found = w.search("/proc/" + strconv.Itoa(pid) + "/")
		}
		before, same = o, 0
		o.Found = found
		w.out.Encode(o)
	}
}

// isThread: /proc also answers to the numbers of threads.
func (w *watcher) isThread(pid int) bool {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return !bytes.Contains(b, []byte("\nTgid:\t"+strconv.Itoa(pid)+"\n"))
}

// look reads first what passes soonest: descriptors, rights, executable.
func (w *watcher) look(pid int) (Observation, bool) {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	o := Observation{PID: pid, FDs: fds(dir), Status: status(dir)}
	o.Exe, _ = os.Readlink(dir + "exe")
	if f, err := os.OpenFile(dir+"exe", os.O_RDWR, 0); err == nil {
		o.ExeWritable = true
		f.Close()
	}
	o.Environ = strs(dir + "environ")
	o.Cmdline = strs(dir + "cmdline")
	o.Foreign = foreign(dir)
	return o, unix.Access(dir, unix.F_OK) == nil && o.Status != nil
}

func fds(dir string) map[string]string {
	d, err := os.Open(dir + "fd")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	out := map[string]string{}
	for _, n := range names {
		if to, err := os.Readlink(dir + "fd/" + n); err == nil {
			out[n] = to + accessMode(dir+"fdinfo/"+n)
		}
	}
	return out
}

// accessMode is " r", " w" or " rw", from the octal flags of /proc/PID/fdinfo.
func accessMode(path string) string {
	b, _ := os.ReadFile(path)
	_, rest, _ := bytes.Cut(b, []byte("flags:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	flags, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 8, 64)
	if err != nil {
		return ""
	}
	return [...]string{" r", " w", " rw", ""}[flags&unix.O_ACCMODE]
}

func status(dir string) map[string]string {
	b, err := os.ReadFile(dir + "status")
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp":
			out[key] = strings.TrimSpace(value)
		}
	}
	return out
}

func strs(path string) []string {
	b, _ := os.ReadFile(path)
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

// foreign lists what of the process is not the watcher's own: a root, a working
// directory on another file system, a namespace.
func foreign(dir string) []string {
	var out []string
	for _, name := range []string{"root", "ns/cgroup", "ns/ipc", "ns/mnt", "ns/net", "ns/pid", "ns/user", "ns/uts"} {
		var own, its unix.Stat_t
		if unix.Stat("/proc/self/"+name, &own) != nil || unix.Stat(dir+name, &its) != nil {
			continue
		}
		if own.Dev != its.Dev || own.Ino != its.Ino {
			out = append(out, name)
		}
	}
	var root, cwd unix.Stat_t
	if unix.Stat("/", &root) == nil && unix.Stat(dir+"cwd", &cwd) == nil && root.Dev != cwd.Dev {
		out = append(out, "cwd")
	}
	return out
}

// search looks for the secrets in the executable and in every mapping.
func (w *watcher) search(dir string) []string {
	var out []string
	check := func(where string, b []byte) {
		for _, s := range w.secrets {
			if bytes.Contains(b, []byte(s)) {
				out = append(out, s+" in "+where)
			}
		}
	}
	if f, err := os.Open(dir + "exe"); err == nil {
		b, _ := io.ReadAll(io.LimitReader(f, 1<<20))
		f.Close()
		check("exe", b)
	}
	mem, err := os.Open(dir + "mem")
	if err != nil {
		return out
	}
	defer mem.Close()
	maps, _ := os.ReadFile(dir + "maps")
	for _, line := range strings.Split(string(maps), "\n") {
		var buf [1 << 18]byte // more than a stack starts with
		from, _, _ := strings.Cut(line, "-")
		at, err := strconv.ParseInt(from, 16, 64)
		if err != nil {
			continue
		}
		n, _ := mem.ReadAt(buf[:], at) // a short read is the end of the mapping
		check("memory", buf[:max(n, 0)])
	}
	return out
}
