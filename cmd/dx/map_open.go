package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// viewer is a program that shows a file to the user, in the browser of that user.
type viewer struct {
	program string
	as      *syscall.Credential // nil: dx's own user
	env     []string            // nil: dx's own
}

// newViewer finds out who would see a picture, and how. A browser is never started as
// root: behind sudo it is that of who called sudo.
func newViewer(to *pictureFlag) (*viewer, error) {
	if !to.set {
		to.format = "html"
	}
	if to.format != "html" && to.format != "svg" {
		return nil, fmt.Errorf("a browser does not show %s: leave out -o, or take html or svg", to.format)
	}
	v := &viewer{}
	if os.Geteuid() == 0 {
		if err := v.behindSudo(); err != nil {
			return nil, err
		}
	}
	if !v.has("DISPLAY") && !v.has("WAYLAND_DISPLAY") {
		return nil, errors.New("there is no display to open a browser on: write the picture to a file, dx map -o map.html, and open it where there is one")
	}
	for _, program := range []string{"xdg-open", "open"} {
		if path, err := exec.LookPath(program); err == nil {
			v.program = path
			return v, nil
		}
	}
	return nil, errors.New("neither xdg-open (of xdg-utils) nor open is installed: write the picture to a file, dx map -o map.html, and open that")
}

func (v *viewer) has(name string) bool {
	if v.env == nil {
		return os.Getenv(name) != ""
	}
	return slices.ContainsFunc(v.env, func(e string) bool { return strings.HasPrefix(e, name+"=") && e != name+"=" })
}

// behindSudo takes the user who called sudo, and that user's session. sudo has cleared most
// of the variables that tell where it is: systemd's directory for the user tells them too.
func (v *viewer) behindSudo() error {
	uid, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
	if err != nil || uid == 0 {
		return errors.New("a browser is not started as root: write the picture to a file, dx map -o map.html, and open that as yourself")
	}
	u, err := user.LookupId(strconv.FormatUint(uid, 10))
	if err != nil {
		return fmt.Errorf("find the user who called sudo: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return fmt.Errorf("the group of %s: %w", u.Username, err)
	}
	v.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: groupsOf(u)}
	v.env = []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username, "PATH=/usr/local/bin:/usr/bin:/bin"}
	for _, name := range []string{"DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "LANG", "XDG_CURRENT_DESKTOP"} {
		if value := os.Getenv(name); value != "" {
			v.env = append(v.env, name+"="+value)
		}
	}
	v.session(fmt.Sprintf("/run/user/%d", uid))
	return nil
}

// groupsOf are a user's groups; those that cannot be found out are left out.
func groupsOf(u *user.User) (out []uint32) {
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
			out = append(out, uint32(gid))
		}
	}
	return out
}

// session takes what is in the directory of a user's session, if there is one.
func (v *viewer) session(dir string) {
	var st syscall.Stat_t
	if err := syscall.Lstat(dir, &st); err != nil || st.Uid != v.as.Uid || st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return
	}
	v.env = append(v.env, "XDG_RUNTIME_DIR="+dir)
	isSocket := func(name string) bool {
		info, err := os.Lstat(filepath.Join(dir, name))
		return err == nil && info.Mode()&os.ModeSocket != 0
	}
	if isSocket("bus") {
		v.env = append(v.env, "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(dir, "bus"))
	}
	if !v.has("WAYLAND_DISPLAY") && isSocket("wayland-0") {
		v.env = append(v.env, "WAYLAND_DISPLAY=wayland-0")
	}
}

// view writes a picture, to a file of its own unless one was named, and shows it.
func (a *app) view(v *viewer, to pictureFlag, text string) error {
	file := to.file
	if file == "" {
		f, err := v.create("dx-map-*." + to.format)
		if err == nil {
			file = f.Name()
			_, err = io.WriteString(f, text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return err
		}
	} else if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		return err
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := v.show(file); err != nil {
		return fmt.Errorf("%s could not show the picture: %w; it is in %s", filepath.Base(v.program), err, file)
	}
	a.say("the picture is in %s", file)
	return nil
}

// create makes a new file that only the user can read. Root's own directory for such files
// may be closed to that user.
func (v *viewer) create(pattern string) (*os.File, error) {
	if v.as == nil {
		return os.CreateTemp("", pattern)
	}
	f, err := os.CreateTemp("/tmp", pattern)
	if err != nil {
		return nil, err
	}
	if err := f.Chown(int(v.as.Uid), int(v.as.Gid)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// showWait is how long a program may take to say that it cannot show a file. Some end at
// once, others with the browser.
const showWait = 5 * time.Second

// show starts the program in a session of its own: ctrl-C is not meant for the browser.
func (v *viewer) show(file string) error {
	cmd := exec.Command(v.program, file)
	cmd.Dir, cmd.Env = "/", v.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: v.as}
	if err := startAsCaller(cmd); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(showWait):
		return nil
	}
}

// startAsCaller starts a program that outlives dx with the timer slack of dx's caller, which
// not all threads of dx have (cmd/dx/sysmon).
func startAsCaller(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(proc.OwnTimerSlack), 0, 0, 0); err != nil {
		return err
	}
	return cmd.Start()
}
