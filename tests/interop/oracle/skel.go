package main

import (
	"context"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

var skelOperations = map[string]operation{
	// What the skeleton of plugins says about a call, before the plugin has done a thing.
	"skel": func(_ context.Context, q *question) (interface{}, error) {
		defer onlyEnv(q.Env)()
		undo, err := standardFiles(q.Data)
		if err != nil {
			return nil, err
		}
		defer undo()
		fine := func(*skel.CmdArgs) error { return nil }
		funcs := skel.CNIFuncs{Add: fine, Check: fine, Del: fine, GC: fine, Status: fine}
		// Not return err: a nil *types.Error is no nil error.
		if err := skel.PluginMainFuncsWithError(funcs, version.All, ""); err != nil {
			return nil, err
		}
		return true, nil
	},
}

// standardFiles makes these bytes stdin, and nothing stdout; the function it returns undoes that.
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
