//go:build !unix

package huawei

// read is Read of a socket. Where the system cannot be asked whether there is anything, it is taken for waiting from the beginning.
func (l *line) read(p []byte) (int, error) {
	l.wait(true)
	defer l.wait(false)
	return l.Conn.Read(p)
}
