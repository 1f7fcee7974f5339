package main

import (
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// meter measures the time and our own CPU time since its creation.
type meter struct {
	began time.Time
	cpu   float64
}

func start() meter {
	return meter{cpu: cpu(), began: time.Now()}
}

// each returns the figures of one of so many operations.
func (m meter) each(operations int) row {
	took := time.Since(m.began).Seconds()
	used := (cpu() - m.cpu) / float64(operations)
	return row{Value: took / float64(operations), CPU: &used}
}

func cpu() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// repeat repeats a short call for so many milliseconds, and returns the median of some batches.
func repeat(milliseconds int, do func() error) (row, error) {
	const batches = 9
	budget := time.Duration(milliseconds) * time.Millisecond / (batches + 1)
	warm, number := time.Now(), 0
	for time.Since(warm) < budget || number == 0 {
		if err := do(); err != nil {
			return row{}, err
		}
		number++
	}
	measured := make([]row, batches)
	for i := range measured {
		m := start()
		for j := 0; j < number; j++ {
			if err := do(); err != nil {
				return row{}, err
			}
		}
		measured[i] = m.each(number)
	}
	sort.Slice(measured, func(i, j int) bool { return measured[i].Value < measured[j].Value })
	return measured[batches/2], nil
}

// inFlight makes a call for each number below count, so many at a time.
func inFlight(count, atOnce int, do func(int) error) error {
	var next atomic.Int64
	var failed atomic.Value
	var workers sync.WaitGroup
	for i := 0; i < atOnce && i < count; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				number := int(next.Add(1)) - 1
				if number >= count || failed.Load() != nil {
					return
				}
				if err := do(number); err != nil {
					failed.Store(err.Error())
				}
			}
		}()
	}
	workers.Wait()
	if reason := failed.Load(); reason != nil {
		return errorString(reason.(string))
	}
	return nil
}

type errorString string

func (e errorString) Error() string { return string(e) }

// status returns a value from /proc/self/status in bytes.
func status(name string) float64 {
	content, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(content), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name+":" {
			kibibytes, _ := strconv.ParseFloat(fields[1], 64)
			return kibibytes * 1024
		}
	}
	return 0
}

func resident() float64 {
	runtime.GC()
	return status("VmRSS")
}
