// Package daemon wires the program together: configuration, credentials, reader, judge, and the runs they make.
package daemon
