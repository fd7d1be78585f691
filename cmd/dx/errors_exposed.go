package main

import "dx/dockerx/exposure"

// exposureHint says what the caller can do instead, or that --expose-host goes on.
func exposureHint(e *exposure.Error) string {
	if e.Instead == "" {
		return "; --expose-host goes on anyway"
	}
	return "; " + e.Instead + ", --expose-host goes on anyway"
}
