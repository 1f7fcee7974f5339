package main

import (
	"context"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

var skelOperations = map[string]operation{
	// Returns the error of the skeleton of plugins, which checks a call before it runs the plugin.
	"skel": func(_ context.Context, q *question) (interface{}, error) {
		defer onlyEnv(q.Env)()
		undo, err := standardFiles(q.Data)
		if err != nil {
			return nil, err
		}
		defer undo()
		fine := func(*skel.CmdArgs) error { return nil }
		funcs := skel.CNIFuncs{Add: fine, Check: fine, Del: fine, GC: fine, Status: fine}
		// A nil *types.Error in an error is not nil, so err cannot be returned as it is.
		if err := skel.PluginMainFuncsWithError(funcs, version.All, ""); err != nil {
			return nil, err
		}
		return true, nil
	},
}

// standardFiles makes stdin these bytes and discards stdout, and returns a function that undoes it.
func standardFiles(stdin []byte) (func(), error) {
	file, err := os.CreateTemp("", "cni-async-skel-")
	if err != nil {
		return nil, err
	}
	os.Remove(file.Name())
	nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if _, err := strings.NewReader(string(stdin)).WriteTo(file); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return nil, err
	}
	formerIn, formerOut := os.Stdin, os.Stdout
	os.Stdin, os.Stdout = file, nowhere
	return func() {
		os.Stdin, os.Stdout = formerIn, formerOut
		file.Close()
		nowhere.Close()
	}, nil
}
