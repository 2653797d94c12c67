package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
)

// leak is a program that shows a secret, so that tests can prove that they would find one: the value of its variable LEAK, in the
// form of its second argument, at the place that the first one names.
func leak() {
	secret, form := os.Getenv("LEAK"), os.Args[2]
	text := map[string]string{
		"raw": secret, "base64": base64.StdEncoding.EncodeToString([]byte("key: " + secret)),
		"hex": hex.EncodeToString([]byte(secret)), "URL": url.QueryEscape(secret), "beginning": secret[:len(secret)*2/3],
	}[form]
	line := fmt.Appendf(nil, "2026-11-25 DEBUG signed with %s, as ever\n", text)
	switch where := os.Args[1]; where {
	case "stdout":
		_, _ = os.Stdout.Write(line)
	case "stderr":
		_, _ = os.Stderr.Write(line)
	default:
		_ = os.WriteFile(where, line, 0o600)
	}
}
