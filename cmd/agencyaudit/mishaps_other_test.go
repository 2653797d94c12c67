//go:build unix && !linux

package main

// full is played where the limits of another process can be set.
var full = elsewhere("auditor/remedy", "TestLedgerOnDisk")
