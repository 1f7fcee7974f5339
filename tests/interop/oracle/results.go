package main

import (
	"bytes"
	"context"

	"cni-async-oracle/loop"

	"github.com/containernetworking/cni/pkg/types"
	types020 "github.com/containernetworking/cni/pkg/types/020"
	types040 "github.com/containernetworking/cni/pkg/types/040"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
)

var resultOperations = map[string]operation{
	"create_result": func(_ context.Context, q *question) (interface{}, error) {
		return showResult(create.Create(string(q.Text), q.Data))
	},
	"create_result_from_bytes": func(_ context.Context, q *question) (interface{}, error) {
		return showResult(create.CreateFromBytes(q.Data))
	},
	"convert": func(_ context.Context, q *question) (interface{}, error) {
		result, err := create.CreateFromBytes(q.Data)
		if err != nil {
			return nil, err
		}
		return showResult(result.GetAsVersion(string(q.Text)))
	},
	// The second conversion shows values of the first result that its JSON does not show.
	"convert_twice": func(_ context.Context, q *question) (interface{}, error) {
		result, err := create.CreateFromBytes(q.Data)
		if err != nil {
			return nil, err
		}
		converted, err := result.GetAsVersion(string(q.Text))
		if err != nil {
			return nil, err
		}
		return showResult(converted.GetAsVersion(string(q.Other)))
	},
	"get_result": func(_ context.Context, q *question) (interface{}, error) {
		result, err := create.CreateFromBytes(q.Data)
		if err != nil {
			return nil, err
		}
		switch q.Text {
		case "020":
			converted, err := types020.GetResult(result)
			return showResult(converted, err)
		case "040":
			converted, err := types040.GetResult(result)
			return showResult(converted, err)
		case "100":
			converted, err := types100.GetResult(result)
			return showResult(converted, err)
		}
		return nil, loop.Misuse{Problem: "no such family"}
	},
	"route_texts": func(_ context.Context, q *question) (interface{}, error) {
		result, err := create.Create("1.1.0", q.Data)
		if err != nil {
			return nil, err
		}
		texts := []string{}
		for _, route := range result.(*types100.Result).Routes {
			texts = append(texts, route.String())
		}
		return texts, nil
	},
}

func showResult(result types.Result, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := result.PrintTo(&text); err != nil {
		return nil, err
	}
	return map[string]interface{}{"version": result.Version(), "text": text.String()}, nil
}
