// The plugin answers as CNI_ASYNC_ANSWER says.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"cni-async-oracle/answer"
)

func main() {
	var told answer.Answer
	if err := json.Unmarshal([]byte(os.Getenv("CNI_ASYNC_ANSWER")), &told); err != nil {
		fmt.Fprintln(os.Stderr, "CNI_ASYNC_ANSWER:", err)
		os.Exit(99)
	}
	told.Give()
}
