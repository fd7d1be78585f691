package doctor

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync"

	"dx/nsops/escape"
)

// pattern finds a secret wherever it stands. What the first group holds stays before it,
// what the second holds behind it.
type pattern struct {
	*regexp.Regexp
	replacement string
}

// secretPatterns are made when first needed: compiling them would cost each start of dx.
var secretPatterns = sync.OnceValue(func() []pattern {
	const word = `(?:[\w.-]*(?:passwd|password|passphrase|pwd|secret|token|key|credential|cookie)[\w.-]*|\b(?:[\w.-]*[_.-])?pass)`
	var out []pattern
	for _, p := range [][2]string{
		{`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`, masked},
		{`(?i)(authorization["']?\s*[:=]\s*["']?)[^"'\r\n]+`, "${1}" + masked},
		{`(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}`, "${1}" + masked},
		{`(?s)(//).+(@)`, "${1}" + masked + "${2}"}, // https://user:password@host, //user:password@server/share
		{`(?i)(` + word + `["']?[ \t]*[=:][ \t]*)("[^"]*"?|'[^']*'?|[^\s,;&"']+)`, "${1}" + masked},
		{`(?i)(--?` + word + `[ \t]+)([^\s-]\S*)`, "${1}" + masked},
		{`\b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16}\b`, masked},
		{`\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|npm_\w{30,}|dckr_pat_[\w-]{20,})`, masked},
		{`\bxox[a-z]-[\w-]{8,}|\bxapp-[\w-]{8,}`, masked},
		{`(hooks\.slack\.com/services/)\S+`, "${1}" + masked},
		{`\bAIza[\w-]{30,}|\b[rs]k_(?:live|test)_\w{10,}|\bsk-[\w-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}`, masked},
		{`\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?`, masked}, // a JSON web token
	} {
		out = append(out, pattern{regexp.MustCompile(p[0]), p[1]})
	}
	return out
})

// scrub masks in a text that is kept what looks like a secret.
func (m *masker) scrub(text, at string) string {
	out := text
	for _, p := range secretPatterns() {
		out = p.ReplaceAllString(out, p.replacement)
	}
	if out != text {
		m.hide(ofSecrets, at)
	}
	return out
}

// plainOptions are the mount options whose values are no secrets: sizes, ids, modes,
// paths, addresses.
var plainOptions = strings.Fields(`size nr_inodes nr_blocks mode ptmxmode dmode fmode umask uid gid fsuid lowerdir upperdir workdir
	redirect_dir index xino metacopy uuid fd pgrp timeout minproto maxproto direct pipe_ino user_id group_id rootmode max_read
	blksize errors data stripe commit barrier subvol subvolid compress space_cache vers nfsvers rsize wsize bsize namlen proto port
	timeo retrans sec addr clientaddr mountaddr mountvers mountport mountproto lookupcache local_lock acregmin acregmax acdirmin
	acdirmax cache trans access msize aname debug name release_agent hidepid subset logbufs logbsize sunit swidth prjquota
	propagation idmap ridmap huge mpol discard thread fsync_mode alloc_mode background_gc checkpoint_merge`)

// plainFlag is an option without a value, as kernels name them.
var plainFlag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}[+-]?$`) })

// mountOptions masks the values of options that dx does not know, and what is no option.
func (m *masker) mountOptions(text, at string) string {
	list := strings.Split(text, ",")
	for i, o := range list {
		name, value, assigned := strings.Cut(o, "=")
		switch {
		case o == "":
		case !plainFlag().MatchString(name):
			list[i] = m.hide(ofOptions, at)
		case assigned && slices.Contains(plainOptions, name):
			list[i] = name + "=" + m.scrub(value, at)
		case assigned:
			list[i] = name + "=" + m.hide(ofOptions, at)
		}
	}
	return strings.Join(list, ",")
}

// plainFlags are the flags of dockerd, containerd and the shim whose values are kept:
// places, sizes and choices. Those that need no value are not among them: the word
// behind belongs to nobody.
var plainFlags = strings.Fields(`data-root exec-root pidfile p host H containerd containerd-namespace containerd-plugins-namespace
	config-file config c root state address a l log-level log-driver log-format storage-driver s bridge b bip fixed-cidr mtu
	userns-remap group G cgroup-parent default-runtime default-ipc-mode default-cgroupns-mode default-shm-size seccomp-profile
	namespace id publish-binary socket bundle`)

// commandLine masks the arguments of a process but the names of flags and the values of
// those that dx knows.
func (m *masker) commandLine(data []byte, at string) []byte {
	var out bytes.Buffer
	keepNext := false
	for i, arg := range strings.Split(strings.TrimRight(string(data), "\x00"), "\x00") {
		flag, value, assigned := strings.Cut(arg, "=")
		name := strings.TrimPrefix(strings.TrimPrefix(flag, "-"), "-")
		isFlag := strings.HasPrefix(flag, "-") && plainKey().MatchString(name)
		plain := slices.Contains(plainFlags, name)
		var shown string
		switch {
		case i == 0:
			shown = m.text(arg, &shape{rule: program}, at)
		case isFlag && assigned && plain:
			shown = flag + "=" + m.scrub(value, at)
		case isFlag && (value == "true" || value == "false"):
			shown = arg
		case isFlag && assigned:
			shown = m.scrub(flag, at) + "=" + m.hide(ofArguments, at)
		case isFlag:
			shown = m.scrub(flag, at)
		case keepNext:
			shown = m.scrub(arg, at)
		default:
			shown = m.hide(ofArguments, at)
		}
		keepNext = isFlag && !assigned && plain
		out.WriteString(escape.Line(shown) + "\n")
	}
	return out.Bytes()
}

// mounts masks /proc/PID/mountinfo: sources with passwords, options of servers.
func (m *masker) mounts(data []byte, at string) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		place, server, ok := strings.Cut(line, " - ")
		f := strings.Fields(server)
		if !ok || len(f) < 2 || len(f) > 3 {
			out.WriteString(m.hide(ofUnknown, at) + "\n")
			continue
		}
		out.WriteString(m.scrub(place, at) + " - " + f[0] + " " + m.scrub(f[1], at))
		if len(f) == 3 {
			out.WriteString(" " + m.mountOptions(f[2], at))
		}
		out.WriteString("\n")
	}
	return []byte(escape.Lines(out.String()))
}

// lines masks what looks like a secret in a file of the kernel's.
func (m *masker) lines(data []byte, at string) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		out.WriteString(m.scrub(line, at))
	}
	return []byte(escape.Lines(out.String()))
}

// stackLine is a line as the Go runtime writes stacks: a goroutine, a function with its
// arguments as numbers, a line of a source file.
var stackLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(|goroutine \d+ [\w= ]*\[[\w ().,-]+\]:|` +
		`created by [\w./*()\[\]@%~,·-]+( in goroutine \d+)?|[\w./*()\[\]@%~,·-]+\([0-9a-fx, {}.?]*\)|` +
		`\t\S+:\d+( \+0x[0-9a-f]+)?|\.\.\.[\w ]+\.\.\.)$`)
})

// stacks masks each line of a dump that is none of a stack.
func (m *masker) stacks(data []byte, at string) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if !stackLine().MatchString(line) {
			line = m.hide(ofUnknown, at)
		}
		out.WriteString(line + "\n")
	}
	return out.Bytes()
}
