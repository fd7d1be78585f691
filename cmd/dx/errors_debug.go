package main

import (
	"errors"

	"dx/dockerx/exposure"
	"dx/dockerx/hostexec"
	"dx/dockerx/images"
	"dx/nsops/tools"
)

// toolsError says that the tools of dx debug could not be had.
type toolsError struct{ err error }

func (e *toolsError) Error() string { return e.err.Error() }
func (e *toolsError) Unwrap() error { return e.err }

// ofTools reports whether an error is about the tools of dx debug: there is nothing
// like it in docker, and the container was not touched.
func ofTools(err error) bool {
	var missing *toolsError
	var dynamic *tools.DynamicError
	var exposed *exposure.Error
	if errors.As(err, &missing) || errors.As(err, &dynamic) || errors.As(err, &exposed) {
		return true
	}
	for _, e := range []error{tools.ErrOldKernel, tools.ErrNoBusybox, tools.ErrTooLarge, images.ErrNoImage, hostexec.ErrNoShell} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// toolsHint is hint for these.
func toolsHint(err error) string {
	var dynamic *tools.DynamicError
	switch {
	case errors.Is(err, tools.ErrNoBusybox):
		return "; install one (Debian: busybox-static), or name tools with --tools"
	case errors.As(err, &dynamic):
		return "; give a static build of it, or see --host-tools"
	case errors.Is(err, tools.ErrOldKernel):
		return "; dx exec and dx shell work without"
	}
	return ""
}
