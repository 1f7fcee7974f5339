package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

var confOperations = map[string]operation{
	"conf_from_bytes": func(_ context.Context, q *question) (interface{}, error) {
		return showConf(libcni.ConfFromBytes(q.Data))
	},
	"conf_list_from_bytes": func(_ context.Context, q *question) (interface{}, error) {
		return showList(libcni.ConfListFromBytes(q.Data))
	},
	"conf_list_from_conf": func(_ context.Context, q *question) (interface{}, error) {
		conf, err := libcni.ConfFromBytes(q.Data)
		if err != nil {
			return nil, err
		}
		return showList(libcni.ConfListFromConf(conf))
	},
	"inject_conf": func(_ context.Context, q *question) (interface{}, error) {
		values, err := callersValues(q.Values)
		if err != nil {
			return nil, err
		}
		return showConf(libcni.InjectConf(&libcni.NetworkConfig{
			Network: &types.NetConf{}, Bytes: q.Data,
		}, values))
	},
	"parse_prev_result": func(_ context.Context, q *question) (interface{}, error) {
		conf, err := libcni.ConfFromBytes(q.Data)
		if err != nil {
			return nil, err
		}
		if err := version.ParsePrevResult(conf.Network); err != nil {
			return nil, err
		}
		if conf.Network.PrevResult == nil {
			return map[string]interface{}{"none": true}, nil
		}
		return showResult(conf.Network.PrevResult, nil)
	},
}

// callersValues reads values as a caller passes them: integers are int64, not float64.
func callersValues(data json.RawMessage) (map[string]interface{}, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var values map[string]interface{}
	if err := decoder.Decode(&values); err != nil {
		return nil, err
	}
	for key, value := range values {
		values[key] = withFloats(value)
	}
	return values, nil
}

func withFloats(value interface{}) interface{} {
	switch value := value.(type) {
	case json.Number:
		if strings.ContainsAny(value.String(), ".eE") {
			float, _ := value.Float64()
			return float
		}
	case []interface{}:
		for i, member := range value {
			value[i] = withFloats(member)
		}
	case map[string]interface{}:
		for key, member := range value {
			value[key] = withFloats(member)
		}
	}
	return value
}

func showConf(conf *libcni.NetworkConfig, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	return map[string]interface{}{"network": conf.Network, "bytes": conf.Bytes}, nil
}

func showList(list *libcni.NetworkConfigList, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	plugins := []interface{}{}
	for _, plugin := range list.Plugins {
		shown, err := showConf(plugin, nil)
		if err != nil {
			return nil, err
		}
		plugins = append(plugins, shown)
	}
	return map[string]interface{}{
		"name": list.Name, "cniVersion": list.CNIVersion, "disableCheck": list.DisableCheck,
		"disableGC": list.DisableGC, "plugins": plugins, "bytes": list.Bytes,
	}, nil
}
