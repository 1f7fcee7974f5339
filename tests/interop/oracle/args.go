package main

import (
	"context"
	"net"
	"os"
	"sort"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
)

// podArgs has the names of CNI_ARGS as its field names, and so has bareArgs.
type podArgs struct {
	types.CommonArgs
	K8S_POD_NAME types.UnmarshallableString //nolint:revive
	FLAG         types.UnmarshallableBool
	IP           net.IP
	NOT_TEXT     types.IPNet //nolint:revive
}

type bareArgs struct {
	K8S_POD_NAME types.UnmarshallableString //nolint:revive
}

var argsOperations = map[string]operation{
	"load_args": func(_ context.Context, q *question) (interface{}, error) {
		args := podArgs{}
		if err := types.LoadArgs(string(q.Text), &args); err != nil {
			return nil, err
		}
		ip := ""
		if args.IP != nil {
			ip = args.IP.String()
		}
		return map[string]interface{}{
			"IgnoreUnknown": bool(args.IgnoreUnknown), "K8S_POD_NAME": string(args.K8S_POD_NAME),
			"FLAG": bool(args.FLAG), "IP": ip,
		}, nil
	},
	"load_args_without_ignore_unknown": func(_ context.Context, q *question) (interface{}, error) {
		args := bareArgs{}
		if err := types.LoadArgs(string(q.Text), &args); err != nil {
			return nil, err
		}
		return map[string]interface{}{"K8S_POD_NAME": string(args.K8S_POD_NAME)}, nil
	},
	"args_env": func(_ context.Context, q *question) (interface{}, error) {
		rt := q.Runtime.libcni()
		defer onlyEnv(q.Env)()
		return sorted((&invoke.Args{
			Command:       string(q.Text),
			ContainerID:   rt.ContainerID,
			NetNS:         rt.NetNS,
			PluginArgs:    rt.Args,
			PluginArgsStr: string(q.Other),
			IfName:        rt.IfName,
			Path:          joined(q.Path),
		}).AsEnv()), nil
	},
	"delegate_env": func(_ context.Context, q *question) (interface{}, error) {
		defer onlyEnv(q.Env)()
		return sorted((&invoke.DelegateArgs{Command: string(q.Text)}).AsEnv()), nil
	},
}

// onlyEnv replaces the environment, and returns a function that restores it.
func onlyEnv(env map[string]string) func() {
	former := os.Environ()
	os.Clearenv()
	for key, value := range env {
		os.Setenv(key, value)
	}
	return func() {
		os.Clearenv()
		for _, entry := range former {
			for i := range entry {
				if i > 0 && entry[i] == '=' {
					os.Setenv(entry[:i], entry[i+1:])
					break
				}
			}
		}
	}
}

func sorted(entries []string) []string {
	sort.Strings(entries)
	return entries
}
