package main

import (
	"context"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
)

var chainOperations = map[string]operation{
	"add": add, "check": check, "del": del, "gc": gc, "status": status, "validate": validate,
	"version_info": versionInfo, "cached_result": cachedResult, "cached_config": cachedConfig,
	"attachments": attachments, "delegate": delegate,
}

// network is the network of a question: a list, or a single plugin's configuration.
type network struct {
	cni    *libcni.CNIConfig
	list   *libcni.NetworkConfigList
	single *libcni.NetworkConfig
	rt     *libcni.RuntimeConf
}

func open(q *question) (*network, error) {
	n := &network{cni: libcni.NewCNIConfigWithCacheDir(q.Path, q.CacheDir, nil), rt: q.Runtime.libcni()}
	var err error
	if q.Single {
		n.single, err = libcni.ConfFromBytes(q.Data)
	} else {
		n.list, err = libcni.ConfListFromBytes(q.Data)
	}
	return n, err
}

func add(ctx context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	if n.single != nil {
		return showResult(n.cni.AddNetwork(ctx, n.single, n.rt))
	}
	return showResult(n.cni.AddNetworkList(ctx, n.list, n.rt))
}

func check(ctx context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	if n.single != nil {
		return true, n.cni.CheckNetwork(ctx, n.single, n.rt)
	}
	return true, n.cni.CheckNetworkList(ctx, n.list, n.rt)
}

func del(ctx context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	if n.single != nil {
		return true, n.cni.DelNetwork(ctx, n.single, n.rt)
	}
	return true, n.cni.DelNetworkList(ctx, n.list, n.rt)
}

func gc(ctx context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	if q.NoValid {
		return true, n.cni.GCNetworkList(ctx, n.list, nil)
	}
	return true, n.cni.GCNetworkList(ctx, n.list, &libcni.GCArgs{ValidAttachments: q.Valid})
}

func status(ctx context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	return true, n.cni.GetStatusNetworkList(ctx, n.list)
}

func validate(ctx context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	if n.single != nil {
		return n.cni.ValidateNetwork(ctx, n.single)
	}
	return n.cni.ValidateNetworkList(ctx, n.list)
}

func versionInfo(ctx context.Context, q *question) (interface{}, error) {
	info, err := libcni.NewCNIConfig(q.Path, nil).GetVersionInfo(ctx, string(q.Text))
	if err != nil {
		return nil, err
	}
	return info.SupportedVersions(), nil
}

func cachedResult(_ context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	get := func() (interface{}, error) {
		if n.single != nil {
			result, err := n.cni.GetNetworkCachedResult(n.single, n.rt)
			if result == nil || err != nil {
				return map[string]interface{}{"none": true}, err
			}
			return showResult(result, nil)
		}
		result, err := n.cni.GetNetworkListCachedResult(n.list, n.rt)
		if result == nil || err != nil {
			return map[string]interface{}{"none": true}, err
		}
		return showResult(result, nil)
	}
	return get()
}

func cachedConfig(_ context.Context, q *question) (interface{}, error) {
	n, err := open(q)
	if err != nil {
		return nil, err
	}
	get := n.cni.GetNetworkListCachedConfig
	var config []byte
	var rt *libcni.RuntimeConf
	if n.single != nil {
		config, rt, err = n.cni.GetNetworkCachedConfig(n.single, n.rt)
	} else {
		config, rt, err = get(n.list, n.rt)
	}
	if err != nil {
		return nil, err
	}
	if rt == nil {
		return map[string]interface{}{"none": true}, nil
	}
	return map[string]interface{}{
		"config": config, "args": rt.Args, "capabilityArgs": rt.CapabilityArgs, "netns": rt.NetNS,
	}, nil
}

func attachments(_ context.Context, q *question) (interface{}, error) {
	return libcni.NewCNIConfigWithCacheDir(q.Path, q.CacheDir, nil).GetCachedAttachments(string(q.Text))
}

func delegate(ctx context.Context, q *question) (interface{}, error) {
	switch q.Other {
	case "ADD":
		return showResult(invoke.DelegateAdd(ctx, string(q.Text), q.Data, nil))
	case "CHECK":
		return true, invoke.DelegateCheck(ctx, string(q.Text), q.Data, nil)
	case "DEL":
		return true, invoke.DelegateDel(ctx, string(q.Text), q.Data, nil)
	case "STATUS":
		return true, invoke.DelegateStatus(ctx, string(q.Text), q.Data, nil)
	default:
		return true, invoke.DelegateGC(ctx, string(q.Text), q.Data, nil)
	}
}
