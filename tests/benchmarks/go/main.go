// The program measures Go's libcni as tests/benchmarks/ours measures cni_async: it reads a task
// from stdin, runs it once, and prints its figures.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"github.com/containernetworking/cni/libcni"
)

// task is the task that tests/benchmarks/runner.py sends to both programs.
type task struct {
	Case      string
	Sizes     map[string]int
	Plugins   []string // directories with plugins
	Cache     string   // a cache directory, empty or filled as the case needs it
	CacheMore string   `json:"cache_more"` // a cache directory with more records
	Chain     string   // a list of three plugins; Single has one, Six has six
	Single    string
	Six       string
	Real      string   // a list of reference plugins
	Result    string   // a plugin's answer
	Netns     []string // network namespaces for Real
	Heartbeat string   // the path of the program that prints heartbeats
}

// row is one measurement; times are in seconds, memory in bytes.
type row struct {
	Value     float64  `json:"value"`
	CPU       *float64 `json:"cpu,omitempty"`       // of this process alone
	Reference *float64 `json:"reference,omitempty"` // the value to compare Value with
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

// container is the runtime configuration of a container, the same on both sides.
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
