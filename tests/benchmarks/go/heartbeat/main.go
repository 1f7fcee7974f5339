// The heartbeat prints two binary numbers of 8 bytes every millisecond until its stdin ends: the
// monotonic clock, and how long a thread has waited for a CPU so far (0 if unknown), both in
// nanoseconds. The argument names the thread, as in /proc: PROCESS/task/THREAD.
package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strconv"
	"time"

	"cni-async-bench/clock"
)

func main() {
	var schedstat *os.File
	if len(os.Args) > 1 {
		schedstat, _ = os.Open("/proc/" + os.Args[1] + "/schedstat")
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var beat [16]byte
	for {
		time.Sleep(time.Millisecond)
		binary.LittleEndian.PutUint64(beat[8:], waited(schedstat))
		binary.LittleEndian.PutUint64(beat[:8], uint64(clock.Now()))
		if _, err := os.Stdout.Write(beat[:]); err != nil {
			return
		}
	}
}

// waited returns the second number of a schedstat file: the thread's wait for a CPU.
func waited(schedstat *os.File) uint64 {
	if schedstat == nil {
		return 0
	}
	var buffer [128]byte
	n, _ := schedstat.ReadAt(buffer[:], 0)
	fields := bytes.Fields(buffer[:n])
	if len(fields) < 2 {
		return 0
	}
	waited, _ := strconv.ParseUint(string(fields[1]), 10, 64)
	return waited
}
