package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
)

var execOperations = map[string]operation{
	"exec_plugin": func(ctx context.Context, q *question) (interface{}, error) {
		var stderr bytes.Buffer
		raw := &invoke.RawExec{Stderr: &stderr}
		stdout, err := raw.ExecPlugin(ctx, string(q.Text), q.Data, os.Environ())
		if err != nil {
			return nil, err
		}
		return map[string]interface{}{"stdout": stdout, "stderr": stderr.Bytes()}, nil
	},
	"exec_with_result": func(ctx context.Context, q *question) (interface{}, error) {
		args := &invoke.Args{Command: "ADD"}
		return showResult(invoke.ExecPluginWithResult(ctx, string(q.Text), q.Data, args, nil))
	},
	"error_json": func(_ context.Context, q *question) (interface{}, error) {
		failure := &types.Error{}
		if err := json.Unmarshal(q.Data, failure); err != nil {
			return nil, err
		}
		text, err := json.MarshalIndent(failure, "", "    ")
		return map[string]interface{}{"text": string(text), "words": failure.Error()}, err
	},
	"quote": func(_ context.Context, q *question) (interface{}, error) {
		return strconv.Quote(string(q.Data)), nil
	},
}

func joined(path []string) string {
	return strings.Join(path, string(os.PathListSeparator))
}
