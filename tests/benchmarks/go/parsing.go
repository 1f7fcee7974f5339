package main

import (
	"context"
	"encoding/json"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types/create"
)

func parse(_ context.Context, t *task) (rows, error) {
	data := []byte(t.Chain)
	took, err := repeat(t.Sizes["milliseconds"], func() error {
		_, err := libcni.ConfListFromBytes(data)
		return err
	})
	return rows{"parse": took}, err
}

// request does the work of libcni's buildOneConfig, which libcni does not export.
func request(_ context.Context, t *task) (rows, error) {
	list, err := libcni.ConfListFromBytes([]byte(t.Chain))
	if err != nil {
		return nil, err
	}
	result, err := create.CreateFromBytes([]byte(t.Result))
	if err != nil {
		return nil, err
	}
	plugin := list.Plugins[1]
	capabilityArgs := portMapping(0)
	took, err := repeat(t.Sizes["milliseconds"], func() error {
		conf, err := libcni.InjectConf(plugin, map[string]interface{}{
			"name": list.Name, "cniVersion": list.CNIVersion, "prevResult": result,
		})
		if err != nil {
			return err
		}
		runtimeConfig := map[string]interface{}{}
		for name, enabled := range conf.Network.Capabilities {
			if value, given := capabilityArgs[name]; given && enabled {
				runtimeConfig[name] = value
			}
		}
		if len(runtimeConfig) == 0 {
			return errorString("the plugin has no capability")
		}
		_, err = libcni.InjectConf(conf, map[string]interface{}{"runtimeConfig": runtimeConfig})
		return err
	})
	return rows{"request": took}, err
}

func decode(_ context.Context, t *task) (rows, error) {
	data := []byte(t.Result)
	took, err := repeat(t.Sizes["milliseconds"], func() error {
		result, err := create.CreateFromBytes(data)
		if err != nil {
			return err
		}
		converted, err := result.GetAsVersion("0.4.0")
		if err != nil {
			return err
		}
		_, err = json.Marshal(converted)
		return err
	})
	return rows{"decode": took}, err
}
