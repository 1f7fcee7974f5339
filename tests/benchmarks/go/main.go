// The program does, with Go's libcni, what tests/benchmarks/ours does with cni_async: it reads a
// task from stdin, does it once, and prints what it took.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"github.com/containernetworking/cni/libcni"
)

// task has what tests/benchmarks/runner.py says to both programs.
type task struct {
	Case      string
	Sizes     map[string]int
	Plugins   []string // directories with plugins
	Cache     string   // a cache directory, empty or filled as the case wants it
	CacheMore string   `json:"cache_more"` // one with more records
	Chain     string   // a list of three plugins; Single has one, Six has six
	Single    string
	Six       string
	Real      string   // a list of the reference plugins
	Result    string   // what a plugin answers
	Netns     []string // network namespaces for Real
	Heartbeat string   // the program that beats
}

// row is one measurement; times are in seconds, memory in bytes.
type row struct {
	Value     float64  `json:"value"`
	CPU       *float64 `json:"cpu,omitempty"`       // of this process alone
	Reference *float64 `json:"reference,omitempty"` // what Value is to be compared with, if not ours
}

type rows map[string]row

type measure func(context.Context, *task) (rows, error)

var cases = map[string]measure{
	"about": about,
	"parse": parse, "request": request, "decode": decode,
	"one": one, "attach": attach, "real": attachReal, "gc": gc, "validate": validate,
	"list": list, "flat": flat,
	"floor": floor, "stall": stall, "memory": memory,
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var t task
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		return err
	}
	do, known := cases[t.Case]
	if !known {
		return fmt.Errorf("no case %q", t.Case)
	}
	measured, err := do(context.Background(), &t)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Case, err)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"rows": measured, "peak": status("VmHWM"), "about": map[string]string{"Go": runtime.Version()},
	})
}

func about(context.Context, *task) (rows, error) {
	return rows{}, nil
}

func (t *task) cni() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir(t.Plugins, t.Cache, nil)
}

// container is one of many, the same on both sides.
func container(number int) *libcni.RuntimeConf {
	id := fmt.Sprintf("container-%06d", number)
	return &libcni.RuntimeConf{
		ContainerID:    id,
		NetNS:          "/var/run/netns/" + id,
		IfName:         "eth0",
		Args:           [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAME", id}},
		CapabilityArgs: portMapping(number),
	}
}

func portMapping(number int) map[string]interface{} {
	return map[string]interface{}{
		"portMappings": []map[string]interface{}{
			{"hostPort": 20000 + number%10000, "containerPort": 80, "protocol": "tcp"},
		},
	}
}
