package main

import (
	"strconv"
	"time"

	"github.com/docker/go-units"

	"dx/nsops/posture"
)

// human makes a number with a unit readable; it is not exact.
func human(unit posture.Unit, value string) string {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return value
	}
	switch unit {
	case posture.Bytes:
		return units.BytesSize(float64(n))
	case posture.Microseconds:
		return (time.Duration(min(n, 1<<53)) * time.Microsecond).String()
	}
	return value
}
