// Package loop answers questions, one JSON object a line, about any version of libcni.
package loop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Failure has the attributes of an error.
type Failure struct {
	Text string `json:"text"`
	// Kind is the name of the error's type, if it is one that callers can distinguish.
	Kind    string `json:"kind"`
	Code    uint   `json:"code"`
	Msg     string `json:"msg"`
	Details string `json:"details"`
}

type answer struct {
	Result interface{} `json:"result"`
	Error  *Failure    `json:"error,omitempty"`
	Panic  string      `json:"panic,omitempty"`
}

// Text is a string of any bytes. If it is not UTF-8, it travels as {"base64": ...}.
type Text string

// UnmarshalJSON reads either form.
func (t *Text) UnmarshalJSON(data []byte) error {
	var odd struct{ Base64 []byte }
	if data[0] == '{' {
		err := json.Unmarshal(data, &odd)
		*t = Text(odd.Base64)
		return err
	}
	return json.Unmarshal(data, (*string)(t))
}

// Strings converts texts to strings.
func Strings(texts []Text) []string {
	list := make([]string, len(texts))
	for i, text := range texts {
		list[i] = string(text)
	}
	return list
}

// Serve answers the questions on stdin until there are no more.
func Serve(ask func(line []byte) (interface{}, error), describe func(error) *Failure) {
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := encoder.Encode(answerTo(line, ask, describe)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		out.Flush()
	}
}

func answerTo(
	line []byte, ask func([]byte) (interface{}, error), describe func(error) *Failure,
) (a answer) {
	defer func() {
		if r := recover(); r != nil {
			a = answer{Panic: fmt.Sprint(r)}
		}
	}()
	result, err := ask(line)
	if err != nil {
		return answer{Error: describe(err)}
	}
	return answer{Result: result}
}

// Misuse is an error in a question, not of libcni.
type Misuse struct{ Problem string }

func (m Misuse) Error() string { return "oracle: " + m.Problem }
