package main

import (
	"context"
	"fmt"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

// one adds one container after the other, each once.
func one(ctx context.Context, t *task) (rows, error) {
	list, err := libcni.ConfListFromBytes([]byte(t.Chain))
	if err != nil {
		return nil, err
	}
	cni := t.cni()
	add := func(number int) error {
		_, err := cni.AddNetworkList(ctx, list, container(number))
		return err
	}
	if err := add(-1); err != nil {
		return nil, err
	}
	m := start()
	for i := 0; i < t.Sizes["adds"]; i++ {
		if err := add(i); err != nil {
			return nil, err
		}
	}
	return rows{"add": m.each(t.Sizes["adds"])}, nil
}

func attach(ctx context.Context, t *task) (rows, error) {
	return addAndDelete(ctx, t, t.Chain, container)
}

func attachReal(ctx context.Context, t *task) (rows, error) {
	return addAndDelete(ctx, t, t.Real, func(number int) *libcni.RuntimeConf {
		rt := container(number)
		rt.NetNS = t.Netns[number]
		return rt
	})
}

func addAndDelete(
	ctx context.Context, t *task, text string, at func(int) *libcni.RuntimeConf,
) (rows, error) {
	list, err := libcni.ConfListFromBytes([]byte(text))
	if err != nil {
		return nil, err
	}
	cni, count, atOnce := t.cni(), t.Sizes["containers"], t.Sizes["in_flight"]
	add := func(number int) error {
		_, err := cni.AddNetworkList(ctx, list, at(number))
		return err
	}
	del := func(number int) error {
		return cni.DelNetworkList(ctx, list, at(number))
	}
	measured := rows{}
	steps := []struct {
		name  string
		count int
		do    func(int) error
	}{{"", 1, add}, {"", 1, del}, {"add", count, add}, {"del", count, del}}
	for _, step := range steps {
		m := start()
		if err := inFlight(step.count, atOnce, step.do); err != nil {
			return nil, err
		}
		if step.name != "" {
			measured[step.name] = m.each(step.count)
		}
	}
	return measured, nil
}

// gc collects garbage in a full cache, whose first records are valid and the others stale.
func gc(ctx context.Context, t *task) (rows, error) {
	list, err := libcni.ConfListFromBytes([]byte(t.Chain))
	if err != nil {
		return nil, err
	}
	cni := t.cni()
	if _, err := cni.ValidateNetworkList(ctx, list); err != nil {
		return nil, err
	}
	args := &libcni.GCArgs{}
	for i := 0; i < t.Sizes["valid"]; i++ {
		valid := types.GCAttachment{ContainerID: container(i).ContainerID, IfName: "eth0"}
		args.ValidAttachments = append(args.ValidAttachments, valid)
	}
	m := start()
	if err := cni.GCNetworkList(ctx, list, args); err != nil {
		return nil, err
	}
	took := m.each(1)
	if left, err := cni.GetCachedAttachments(""); err != nil || len(left) != t.Sizes["valid"] {
		return nil, fmt.Errorf("%d attachments are left: %v", len(left), err)
	}
	return rows{"gc": took}, nil
}

func validate(ctx context.Context, t *task) (rows, error) {
	list, err := libcni.ConfListFromBytes([]byte(t.Six))
	if err != nil {
		return nil, err
	}
	cni := t.cni()
	took, err := repeat(t.Sizes["milliseconds"], func() error {
		_, err := cni.ValidateNetworkList(ctx, list)
		return err
	})
	return rows{"validate": took}, err
}
