// Package answer prints a plugin's output and ends its process as a test requires.
package answer

import (
	"fmt"
	"os"
	"syscall"
)

// Answer is {"stdout": BYTES, "stderr": BYTES, "code": NUMBER, "signal": NUMBER}, bytes as base64.
type Answer struct {
	Stdout []byte `json:"stdout"`
	Stderr []byte `json:"stderr"`
	Code   int    `json:"code"`
	Signal int    `json:"signal"`
}

// Give ends the process with this answer.
func (a Answer) Give() {
	os.Stdout.Write(a.Stdout)
	os.Stderr.Write(a.Stderr)
	if a.Signal != 0 {
		// Go handles some signals itself; every signal kills a shell.
		script := fmt.Sprintf("ulimit -c 0; kill -%d $$", a.Signal)
		fmt.Fprintln(os.Stderr, syscall.Exec("/bin/sh", []string{"sh", "-c", script}, nil))
	}
	os.Exit(a.Code)
}
