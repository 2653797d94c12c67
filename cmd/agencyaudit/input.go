package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxInput bounds the files that a command is told to read.
const maxInput = 256 << 20

var errTooLong = errors.New("the file is longer than anything that belongs there")

// readInput reads a file that the command line names.
func readInput(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = errTooLong
	}
	return data, err
}

// reason is what is wrong with a file, without its name: the message around it has that.
func reason(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// shellWord writes a word so that a shell reads it back as it is.
func shellWord(s string) string {
	harmless := func(r rune) bool {
		return strings.ContainsRune("-_./:=@%+,", r) || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !harmless(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
