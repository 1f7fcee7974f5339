package main

import (
	"bytes"
	"context"

	"cni-async-oracle/loop"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"
)

var versionOperations = map[string]operation{
	"parse_version": func(_ context.Context, q *question) (interface{}, error) {
		major, minor, micro, err := version.ParseVersion(string(q.Text))
		return []int{major, minor, micro}, err
	},
	"greater_than": func(_ context.Context, q *question) (interface{}, error) {
		return version.GreaterThan(string(q.Text), string(q.Other))
	},
	"greater_than_or_equal_to": func(_ context.Context, q *question) (interface{}, error) {
		return version.GreaterThanOrEqualTo(string(q.Text), string(q.Other))
	},
	"versions_starting_from": func(_ context.Context, q *question) (interface{}, error) {
		return version.VersionsStartingFrom(string(q.Text)).SupportedVersions(), nil
	},
	"plugin_supports": func(_ context.Context, q *question) (interface{}, error) {
		return showInfo(version.PluginSupports(loop.Strings(q.Strings)...), nil)
	},
	"decode_plugin_info": func(_ context.Context, q *question) (interface{}, error) {
		return showInfo((&version.PluginDecoder{}).Decode(q.Data))
	},
	"decode_config_version": func(_ context.Context, q *question) (interface{}, error) {
		return (&version.ConfigDecoder{}).Decode(q.Data)
	},
	"reconcile": func(_ context.Context, q *question) (interface{}, error) {
		supported := loop.Strings(q.Strings)
		if err := (&version.Reconciler{}).CheckRaw(string(q.Text), supported); err != nil {
			return nil, err
		}
		return true, nil
	},
	"validate_container_id": func(_ context.Context, q *question) (interface{}, error) {
		return validated(utils.ValidateContainerID(string(q.Text)))
	},
	"validate_network_name": func(_ context.Context, q *question) (interface{}, error) {
		return validated(utils.ValidateNetworkName(string(q.Text)))
	},
	"validate_interface_name": func(_ context.Context, q *question) (interface{}, error) {
		return validated(utils.ValidateInterfaceName(string(q.Text)))
	},
}

func showInfo(info version.PluginInfo, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = info.Encode(&text)
	return map[string]interface{}{
		"versions": info.SupportedVersions(), "text": text.String(),
	}, err
}

func validated(err *types.Error) (interface{}, error) {
	// A nil *types.Error in an error is not nil, so err cannot be returned as it is.
	if err != nil {
		return nil, err
	}
	return true, nil
}
