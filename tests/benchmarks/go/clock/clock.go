// Package clock reads the clock that all processes share, which package time does not expose.
package clock

import (
	"syscall"
	"time"
	"unsafe"
)

const monotonic = 1 // CLOCK_MONOTONIC

// Now returns the time since a moment that is the same for all processes.
func Now() time.Duration {
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&at)), 0)
	return time.Duration(at.Nano())
}
