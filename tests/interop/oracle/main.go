// The oracle asks Go's libcni the questions on its stdin, and prints each answer as a JSON line.
//
// A question is {"op": NAME, ...}. An answer is {"result": VALUE}, {"error": {"text", "kind",
// "code", "msg", "details"}}, or {"panic": TEXT} if libcni panics. Bytes are base64.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"

	"cni-async-oracle/loop"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

type question struct {
	Op string `json:"op"`
	// The arguments that the operation needs.
	Data    []byte            `json:"data"`
	Text    loop.Text         `json:"text"`
	Other   loop.Text         `json:"other"`
	Strings []loop.Text       `json:"strings"`
	Values  json.RawMessage   `json:"values"`
	Env     map[string]string `json:"env"`
	// For the operations of CNIConfig.
	Path     []string             `json:"path"`
	CacheDir string               `json:"cacheDir"`
	Single   bool                 `json:"single"`
	Runtime  *runtimeConf         `json:"runtime"`
	Valid    []types.GCAttachment `json:"valid"`
	NoValid  bool                 `json:"noValid"`
}

type runtimeConf struct {
	ContainerID    string          `json:"containerID"`
	NetNS          string          `json:"netns"`
	IfName         string          `json:"ifname"`
	Args           [][2]string     `json:"args"`
	CapabilityArgs json.RawMessage `json:"capabilityArgs"`
	CacheDir       string          `json:"cacheDir"`
}

func (r *runtimeConf) libcni() *libcni.RuntimeConf {
	if r == nil {
		return &libcni.RuntimeConf{}
	}
	var capabilityArgs map[string]interface{}
	if r.CapabilityArgs != nil {
		// The question's decoder has checked the syntax, and tests send only objects.
		capabilityArgs, _ = callersValues(r.CapabilityArgs)
	}
	return &libcni.RuntimeConf{
		ContainerID:    r.ContainerID,
		NetNS:          r.NetNS,
		IfName:         r.IfName,
		Args:           r.Args,
		CapabilityArgs: capabilityArgs,
		CacheDir:       r.CacheDir,
	}
}

type operation func(context.Context, *question) (interface{}, error)

var operations = map[string]operation{}

func main() {
	for _, group := range []map[string]operation{
		confOperations, fileOperations, versionOperations, resultOperations, argsOperations,
		execOperations, chainOperations, skelOperations,
	} {
		maps.Copy(operations, group)
	}
	loop.Serve(ask, describe)
}

func ask(line []byte) (interface{}, error) {
	q := &question{}
	if err := json.Unmarshal(line, q); err != nil {
		return nil, loop.Misuse{Problem: err.Error()}
	}
	op, ok := operations[q.Op]
	if !ok {
		return nil, loop.Misuse{Problem: "unknown op " + q.Op}
	}
	for key, value := range q.Env {
		defer setenv(key, value)()
	}
	return op(context.Background(), q)
}

// setenv sets a variable, and returns a function that restores it.
func setenv(key, value string) func() {
	former, was := os.LookupEnv(key)
	os.Setenv(key, value)
	return func() {
		if was {
			os.Setenv(key, former)
		} else {
			os.Unsetenv(key)
		}
	}
}

func describe(err error) *loop.Failure {
	f := &loop.Failure{Text: err.Error()}
	var typed *types.Error
	var incompatible *version.ErrorIncompatible
	switch {
	case errors.As(err, &typed):
		f.Kind, f.Code, f.Msg, f.Details = "types.Error", typed.Code, typed.Msg, typed.Details
	case errors.As(err, &incompatible):
		f.Kind, f.Details = "ErrorIncompatible", incompatible.Details()
	case errors.As(err, &libcni.NotFoundError{}):
		f.Kind = "NotFoundError"
	case errors.As(err, &libcni.NoConfigsFoundError{}):
		f.Kind = "NoConfigsFoundError"
	case errors.Is(err, libcni.ErrorCheckNotSupp):
		f.Kind = "ErrorCheckNotSupp"
	case errors.As(err, &loop.Misuse{}):
		f.Kind = "oracle"
	}
	return f
}
