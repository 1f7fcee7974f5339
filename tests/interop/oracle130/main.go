// The second oracle answers questions about the loaders that libcni v1.3.0 added.
package main

import (
	"encoding/json"
	"errors"

	"cni-async-oracle/loop"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// network has no methods, so encoding/json writes it as it writes v1.2.3's type, field by field.
type network types.PluginConf

type question struct {
	Op    string    `json:"op"`
	Data  []byte    `json:"data"`
	Text  loop.Text `json:"text"`
	Other loop.Text `json:"other"`
}

func main() {
	loop.Serve(ask, describe)
}

func ask(line []byte) (interface{}, error) {
	q := &question{}
	if err := json.Unmarshal(line, q); err != nil {
		return nil, loop.Misuse{Problem: err.Error()}
	}
	switch q.Op {
	case "network_conf_from_bytes":
		return showList(libcni.NetworkConfFromBytes(q.Data))
	case "network_plugin_conf_from_bytes":
		return showConf(libcni.NetworkPluginConfFromBytes(q.Data))
	case "network_conf_from_file":
		return showList(libcni.NetworkConfFromFile(string(q.Text)))
	case "network_plugin_confs_from_files":
		confs, err := libcni.NetworkPluginConfsFromFiles(string(q.Text), string(q.Other))
		return showConfs(confs), err
	case "load_network_conf":
		return showList(libcni.LoadNetworkConf(string(q.Text), string(q.Other)))
	}
	return nil, loop.Misuse{Problem: "unknown op " + q.Op}
}

func describe(err error) *loop.Failure {
	f := &loop.Failure{Text: err.Error()}
	switch {
	case errors.As(err, &libcni.NotFoundError{}):
		f.Kind = "NotFoundError"
	case errors.As(err, &libcni.NoConfigsFoundError{}):
		f.Kind = "NoConfigsFoundError"
	case errors.As(err, &loop.Misuse{}):
		f.Kind = "oracle"
	}
	return f
}

func showConf(conf *libcni.PluginConfig, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	return map[string]interface{}{"network": (*network)(conf.Network), "bytes": conf.Bytes}, nil
}

func showConfs(confs []*libcni.PluginConfig) []interface{} {
	shown := []interface{}{}
	for _, conf := range confs {
		one, _ := showConf(conf, nil)
		shown = append(shown, one)
	}
	return shown
}

func showList(list *libcni.NetworkConfigList, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	return map[string]interface{}{
		"name": list.Name, "cniVersion": list.CNIVersion, "disableCheck": list.DisableCheck,
		"disableGC": list.DisableGC, "loadOnlyInlinedPlugins": list.LoadOnlyInlinedPlugins,
		"plugins": showConfs(list.Plugins), "bytes": list.Bytes,
	}, nil
}
