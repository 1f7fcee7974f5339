package main

import (
	"context"
	"fmt"

	"github.com/containernetworking/cni/libcni"
)

func list(_ context.Context, t *task) (rows, error) {
	cni, records := t.cni(), t.Sizes["records"]
	listed := func(id string, expected int) func() error {
		return func() error {
			found, err := cni.GetCachedAttachments(id)
			if err == nil && len(found) != expected {
				err = fmt.Errorf("found %d attachments, not %d", len(found), expected)
			}
			return err
		}
	}
	measured := rows{}
	var err error
	one := listed(container(records/2).ContainerID, 1)
	if measured["one"], err = repeat(t.Sizes["milliseconds"], one); err != nil {
		return nil, err
	}
	all := listed("", records)
	if err := all(); err != nil {
		return nil, err
	}
	times := t.Sizes["times"]
	m := start()
	for i := 0; i < times; i++ {
		if err := all(); err != nil {
			return nil, err
		}
	}
	measured["all"] = m.each(times)
	return measured, nil
}

// flat adds and deletes containers, in turn in a cache with few records and in one with many.
func flat(ctx context.Context, t *task) (rows, error) {
	list, err := libcni.ConfListFromBytes([]byte(t.Single))
	if err != nil {
		return nil, err
	}
	few := libcni.NewCNIConfigWithCacheDir(t.Plugins, t.Cache, nil)
	many := libcni.NewCNIConfigWithCacheDir(t.Plugins, t.CacheMore, nil)
	pair := func(cni *libcni.CNIConfig) error {
		rt := container(-1)
		if _, err := cni.AddNetworkList(ctx, list, rt); err != nil {
			return err
		}
		return cni.DelNetworkList(ctx, list, rt)
	}
	var with [2]row
	pairs := t.Sizes["pairs"]
	for i := -1; i < pairs; i++ {
		for j, cni := range []*libcni.CNIConfig{few, many} {
			m := start()
			if err := pair(cni); err != nil {
				return nil, err
			}
			if took := m.each(pairs); i >= 0 { // the first pair only warms up
				with[j].Value += took.Value
			}
		}
	}
	return rows{"pair": {Value: with[1].Value, Reference: &with[0].Value}}, nil
}
