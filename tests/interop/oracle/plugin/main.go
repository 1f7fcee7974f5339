// The plugin answers as CNI_ASYNC_ANSWER says: {"stdout": BYTES, "stderr": BYTES, "code": NUMBER,
// "signal": NUMBER}, bytes as base64.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

func main() {
	var answer struct {
		Stdout, Stderr []byte
		Code, Signal   int
	}
	if err := json.Unmarshal([]byte(os.Getenv("CNI_ASYNC_ANSWER")), &answer); err != nil {
		fmt.Fprintln(os.Stderr, "CNI_ASYNC_ANSWER:", err)
		os.Exit(99)
	}
	os.Stdout.Write(answer.Stdout)
	os.Stderr.Write(answer.Stderr)
	if answer.Signal != 0 {
		// Go handles some signals itself; a shell dies of each.
		script := fmt.Sprintf("ulimit -c 0; kill -%d $$", answer.Signal)
		fmt.Fprintln(os.Stderr, syscall.Exec("/bin/sh", []string{"sh", "-c", script}, nil))
	}
	os.Exit(answer.Code)
}
