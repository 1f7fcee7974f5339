package main

import (
	"context"

	"cni-async-oracle/loop"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
)

var fileOperations = map[string]operation{
	"conf_files": func(_ context.Context, q *question) (interface{}, error) {
		files, err := libcni.ConfFiles(string(q.Text), loop.Strings(q.Strings))
		if err != nil {
			return nil, err
		}
		return append([]string{}, files...), nil
	},
	"conf_from_file": func(_ context.Context, q *question) (interface{}, error) {
		return showConf(libcni.ConfFromFile(string(q.Text)))
	},
	"conf_list_from_file": func(_ context.Context, q *question) (interface{}, error) {
		return showList(libcni.ConfListFromFile(string(q.Text)))
	},
	"load_conf": func(_ context.Context, q *question) (interface{}, error) {
		return showConf(libcni.LoadConf(string(q.Text), string(q.Other)))
	},
	"load_conf_list": func(_ context.Context, q *question) (interface{}, error) {
		return showList(libcni.LoadConfList(string(q.Text), string(q.Other)))
	},
	"find_in_path": func(_ context.Context, q *question) (interface{}, error) {
		return invoke.FindInPath(string(q.Text), loop.Strings(q.Strings))
	},
}
