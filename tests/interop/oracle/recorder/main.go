// The recorder plays every plugin of a chain. It appends each call to ".calls" as a JSON line, and
// answers as ".answers" says for the name by which it is called. Both files are beside it.
//
// ".answers" is {PLUGIN: {COMMAND: ANSWER}}. A key "COMMAND CONTAINER" takes precedence over
// COMMAND. Without either the recorder succeeds.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"cni-async-oracle/answer"
)

type call struct {
	Plugin string   `json:"plugin"`
	Env    []string `json:"env"`
	Stdin  []byte   `json:"stdin"`
}

type told struct {
	answer.Answer
	// Pass prints prevResult instead of Stdout, as a plugin does that adds nothing to the result.
	Pass bool `json:"pass"`
}

const versions = `{"cniVersion":"1.1.0","supportedVersions":` +
	`["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}`

func main() {
	if err := run(filepath.Split(os.Args[0])); err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(99)
	}
}

func run(folder, plugin string) error {
	stdin, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if err := remember(folder+".calls", call{plugin, cniVariables(), stdin}); err != nil {
		return err
	}
	text, err := os.ReadFile(folder + ".answers")
	if err != nil {
		return err
	}
	var answers map[string]map[string]told
	if err := json.Unmarshal(text, &answers); err != nil {
		return err
	}
	command := os.Getenv("CNI_COMMAND")
	answer, ok := answers[plugin][command+" "+os.Getenv("CNI_CONTAINERID")]
	if !ok {
		answer, ok = answers[plugin][command]
	}
	switch {
	case answer.Pass:
		answer.Stdout = prevResult(stdin)
	case !ok && command == "VERSION":
		answer.Stdout = []byte(versions)
	case !ok && command == "ADD":
		answer.Stdout = []byte("{}")
	}
	answer.Give()
	return nil
}

// cniVariables lists the variables of CNI, without those that control our tests.
func cniVariables() []string {
	env := []string{}
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "CNI_") && !strings.HasPrefix(entry, "CNI_ASYNC_") {
			env = append(env, entry)
		}
	}
	sort.Strings(env)
	return env
}

// remember appends a call in one write, because plugins may run at the same time.
func remember(path string, one call) error {
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(append(line, '\n'))
	return err
}

func prevResult(stdin []byte) []byte {
	var request struct {
		PrevResult json.RawMessage `json:"prevResult"`
	}
	if json.Unmarshal(stdin, &request) != nil || request.PrevResult == nil {
		return []byte("{}")
	}
	return request.PrevResult
}
