//go:build unix

package huawei

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// read is Read of a socket. It waits only after the system has said that there is nothing, and has it known then and not before.
func (l *line) read(p []byte) (n int, err error) {
	defer l.wait(false)
	var failed error
	err = l.raw.Read(func(fd uintptr) bool {
		l.wait(false)
		for {
			switch n, failed = syscall.Read(int(fd), p); {
			case errors.Is(failed, syscall.EINTR):
				continue
			case errors.Is(failed, syscall.EAGAIN):
				l.wait(true)
				return false
			}
			return true
		}
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, &net.OpError{
			Op: "read", Net: "tcp", Source: l.LocalAddr(), Addr: l.RemoteAddr(), Err: os.NewSyscallError("read", failed),
		}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
