// This program is a CRI client with a few verbs, in kubelet's place.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	answer, err := ask(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(socket, verb string, args []string) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	runtime := cri.NewRuntimeServiceClient(conn)
	switch verb {
	case "status":
		return runtime.Status(ctx, &cri.StatusRequest{})
	case "image":
		spec := &cri.ImageSpec{Image: args[0]}
		return cri.NewImageServiceClient(conn).ImageStatus(ctx, &cri.ImageStatusRequest{Image: spec})
	case "run":
		config := &cri.PodSandboxConfig{}
		if err := json.Unmarshal([]byte(args[0]), config); err != nil {
			return nil, err
		}
		return runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	case "inspect":
		return runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: args[0], Verbose: true})
	case "list":
		return runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	case "stop":
		return runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: args[0]})
	case "remove":
		return runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: args[0]})
	}
	return nil, fmt.Errorf("there is no verb %q", verb)
}
