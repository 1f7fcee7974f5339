package main

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"cni-async-bench/clock"

	"github.com/containernetworking/cni/libcni"
)

// floor only starts processes and waits for them.
func floor(_ context.Context, t *task) (rows, error) {
	spawn, err := spawner(t)
	if err != nil {
		return nil, err
	}
	count := t.Sizes["spawns"]
	if err := inFlight(5, 1, spawn); err != nil {
		return nil, err
	}
	m := start()
	err = inFlight(count, t.Sizes["in_flight"], spawn)
	return rows{"spawn": m.each(count)}, err
}

func spawner(t *task) (func(int) error, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	plugin := filepath.Join(t.Plugins[0], "bridge")
	attributes := &os.ProcAttr{
		Env:   append(os.Environ(), "CNI_COMMAND=ADD"),
		Files: []*os.File{null, null, null},
	}
	return func(int) error {
		process, err := os.StartProcess(plugin, []string{plugin}, attributes)
		if err != nil {
			return err
		}
		_, err = process.Wait()
		return err
	}, nil
}

// stall measures the longest delay of a heartbeat in a goroutine while ADDs run.
func stall(ctx context.Context, t *task) (rows, error) {
	spawn, err := spawner(t)
	if err != nil {
		return nil, err
	}
	bare, err := repeat(t.Sizes["milliseconds"], func() error { return spawn(0) })
	if err != nil {
		return nil, err
	}
	list, err := libcni.ConfListFromBytes([]byte(t.Chain))
	if err != nil {
		return nil, err
	}
	cni, atOnce := t.cni(), t.Sizes["in_flight"]
	add := func(number int) error {
		_, err := cni.AddNetworkList(ctx, list, container(number))
		return err
	}
	if err := inFlight(atOnce, atOnce, func(number int) error { return add(-1 - number) }); err != nil {
		return nil, err
	}
	heart := exec.Command(t.Heartbeat)
	stop, err := heart.StdinPipe()
	if err != nil {
		return nil, err
	}
	beats, err := heart.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := heart.Start(); err != nil {
		return nil, err
	}
	var begun atomic.Bool
	var longest time.Duration
	var listening sync.WaitGroup
	listening.Add(1)
	go func() {
		defer listening.Done()
		var beat [16]byte
		for {
			if _, err := io.ReadFull(beats, beat[:]); err != nil {
				return
			}
			late := clock.Now() - time.Duration(binary.LittleEndian.Uint64(beat[:8]))
			if late > longest && begun.Load() {
				longest = late
			}
		}
	}()
	time.Sleep(50 * time.Millisecond)
	begun.Store(true)
	err = inFlight(t.Sizes["containers"], atOnce, add)
	stop.Close()
	listening.Wait()
	heart.Wait()
	return rows{"wall": {Value: longest.Seconds(), Reference: &bare.Value}}, err
}

// memory measures this process's memory after few ADD/DEL pairs and after many.
func memory(ctx context.Context, t *task) (rows, error) {
	list, err := libcni.ConfListFromBytes([]byte(t.Single))
	if err != nil {
		return nil, err
	}
	cni := t.cni()
	pair := func(number int) error {
		rt := container(number)
		if _, err := cni.AddNetworkList(ctx, list, rt); err != nil {
			return err
		}
		return cni.DelNetworkList(ctx, list, rt)
	}
	few, many, atOnce := t.Sizes["few"], t.Sizes["many"], t.Sizes["in_flight"]
	if err := inFlight(few, atOnce, pair); err != nil {
		return nil, err
	}
	before := resident()
	err = inFlight(many-few, atOnce, pair)
	return rows{"resident": {Value: resident(), Reference: &before}}, err
}
