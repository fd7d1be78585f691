package doctor

import (
	"bufio"
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Waits is what a goroutine waits for.
type Waits string

// What they wait for, the most telling first.
const (
	WaitsLock       Waits = "lock"
	WaitsContainerd Waits = "containerd"
	WaitsShim       Waits = "shim"
	WaitsChild      Waits = "child process"
	WaitsKernel     Waits = "system call"
	WaitsOther      Waits = "other"
)

var waitsOrder = []Waits{WaitsLock, WaitsContainerd, WaitsShim, WaitsChild, WaitsKernel, WaitsOther}

// Goroutine is one of a dump.
type Goroutine struct {
	ID      int
	State   string // "semacquire", "select"…
	Minutes int    // for how long; 0: less than one, or unknown
	Frames  []string
}

// Group is the goroutines that wait at the same place for the same thing.
type Group struct {
	Waits   Waits
	At      string // the innermost function that is the program's own
	For     string `json:",omitempty"` // the request that it serves
	Count   int
	Minutes int // of the longest
	Longest int // its number
}

// Bounds of what is read of a dump: a hung dockerd can have tens of thousands of
// goroutines.
const (
	maxDump       = 64 << 20
	maxGoroutines = 200000
	maxDepth      = 200
)

// ParseGoroutines reads the stacks that the Go runtime writes (runtime.Stack). Lines
// that it does not know are skipped: a dump may lie in the middle of a log.
func ParseGoroutines(r io.Reader) ([]Goroutine, error) {
	var out []Goroutine
	var g *Goroutine
	s := bufio.NewScanner(io.LimitReader(r, maxDump))
	s.Buffer(make([]byte, 64<<10), 1<<20)
	for s.Scan() {
		line := s.Text()
		if next, ok := parseHeader(line); ok {
			if len(out) == maxGoroutines {
				break
			}
			out = append(out, next)
			g = &out[len(out)-1]
			continue
		}
		switch {
		case line == "":
			g = nil
		case g == nil || line[0] == '\t' || strings.HasPrefix(line, "created by ") || len(g.Frames) == maxDepth:
		default:
			g.Frames = append(g.Frames, function(line))
		}
	}
	return out, s.Err()
}

// parseHeader reads "goroutine 7 [semacquire, 15 minutes]:"; newer runtimes have
// more between the number and the bracket.
func parseHeader(line string) (Goroutine, bool) {
	rest, ok := strings.CutPrefix(line, "goroutine ")
	if !ok || !strings.HasSuffix(rest, "]:") {
		return Goroutine{}, false
	}
	head, states, ok := strings.Cut(strings.TrimSuffix(rest, "]:"), "[")
	f := strings.Fields(head)
	if !ok || len(f) == 0 {
		return Goroutine{}, false
	}
	id, err := strconv.Atoi(f[0])
	if err != nil {
		return Goroutine{}, false
	}
	g := Goroutine{ID: id}
	for i, part := range strings.Split(states, ", ") {
		if i == 0 {
			g.State = part
		}
		if n, ok := strings.CutSuffix(part, " minutes"); ok {
			g.Minutes, _ = strconv.Atoi(n)
		}
	}
	return g, true
}

// function cuts the arguments off: "sync.(*Mutex).Lock(0xc00…)".
func function(line string) string {
	if i := strings.LastIndexByte(line, '('); i > 0 {
		return line[:i]
	}
	return line
}

// GroupGoroutines brings those together that wait at one place, the most telling
// first. Those that merely idle come last.
func GroupGoroutines(list []Goroutine) []Group {
	groups := map[[3]string]*Group{}
	for _, g := range list {
		waits, at, why := g.waits(), g.at(), g.request()
		key := [3]string{string(waits), at, why}
		have := groups[key]
		if have == nil {
			have = &Group{Waits: waits, At: at, For: why, Longest: g.ID, Minutes: g.Minutes}
			groups[key] = have
		}
		have.Count++
		if g.Minutes > have.Minutes {
			have.Minutes, have.Longest = g.Minutes, g.ID
		}
	}
	var out []Group
	for _, g := range groups {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(
			slices.Index(waitsOrder, a.Waits)-slices.Index(waitsOrder, b.Waits),
			cmp.Compare(len(b.For), 0)-cmp.Compare(len(a.For), 0), // requests before housekeeping
			b.Minutes-a.Minutes, b.Count-a.Count, cmp.Compare(a.At+a.For, b.At+b.For))
	})
	return out
}

func (g Goroutine) waits() Waits {
	if strings.HasPrefix(g.State, "semacquire") || strings.HasPrefix(g.State, "sync.Mutex") || strings.HasPrefix(g.State, "sync.RWMutex") {
		if g.has("sync.(*WaitGroup).Wait") {
			return WaitsOther
		}
		return WaitsLock
	}
	switch {
	case g.has("ubscribeClient).Recv", "supervisor.(*remote).startContainerd"):
		return WaitsOther // they do so all the time
	case g.has("grpc.(*ClientConn).Invoke", "grpc.invoke", "grpc.(*clientStream).RecvMsg"):
		return WaitsContainerd
	case g.has("ttrpc.(*Client).Call", "ttrpc.(*Client).dispatch"):
		return WaitsShim
	case g.has("os/exec.(*Cmd).Wait", "os.(*Process).Wait", "go-runc.(*"):
		return WaitsChild
	case g.State == "syscall" && !g.has("os/signal.", "EpollWait"):
		return WaitsKernel
	}
	return WaitsOther
}

func (g Goroutine) has(parts ...string) bool {
	for _, f := range g.Frames {
		for _, p := range parts {
			if strings.Contains(f, p) {
				return true
			}
		}
	}
	return false
}

// libraries are where nobody looks for the cause: the standard library has no dot
// in the first part of its paths.
var libraries = []string{"google.golang.org/", "golang.org/", "github.com/containerd/ttrpc", "go.opencensus.io/", "github.com/gogo/", "github.com/docker/docker/vendor/", "go.etcd.io/", "github.com/grpc-ecosystem/", "go.opentelemetry.io/"}

// at is the innermost function of the program's own.
func (g Goroutine) at() string {
	for _, f := range g.Frames {
		first, _, ok := strings.Cut(f, "/")
		if !ok || !strings.Contains(first, ".") {
			continue
		}
		if !slices.ContainsFunc(libraries, func(l string) bool { return strings.HasPrefix(f, l) }) {
			return f
		}
	}
	if len(g.Frames) > 0 {
		return g.Frames[len(g.Frames)-1]
	}
	return g.State
}

// request is what a client asked for: the router's function in dockerd, the
// service's in containerd.
func (g Goroutine) request() string {
	for _, f := range slices.Backward(g.Frames) {
		if strings.Contains(f, "outer).") && strings.Contains(f, "/api/server/router/") && !strings.Contains(f, ".func") {
			_, name, _ := strings.Cut(f, ").")
			return strings.TrimSuffix(name, "-fm")
		}
		if strings.Contains(f, "/services/") && strings.Contains(f, "(*service).") || strings.Contains(f, "/services/") && strings.Contains(f, "(*local).") {
			return f[strings.LastIndexByte(f, '/')+1:]
		}
	}
	return ""
}
