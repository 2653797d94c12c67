package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// maxSecret bounds a secret in bytes; security tokens are the longest of them.
const maxSecret = 16 << 10

// minSecret is how many characters a secret has at least; the cloud's access keys have 20. What is shorter is a placeholder, and is
// found by chance in ordinary text, which would be hidden wherever it is shown.
const minSecret = 8

const tooShort = "has fewer than 8 characters, as no key does"

var errNotRegular = errors.New("it is not a regular file")

// readAll reads a regular file of bounded size.
func readAll(open func(string) (fs.File, error), path string) ([]byte, error) {
	return read(open, path, strictyaml.MaxBytes+1, func(fs.FileInfo) error { return nil })
}

func read(open func(string) (fs.File, error), path string, most int64, check func(fs.FileInfo) error) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errNotRegular
	}
	if err := check(info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// path returns where a file is that the configuration names.
func (c *Config) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(c.file), name)
}

func (c *configCheck) path(name string) string { return c.cfg.path(name) }

// secretFile reads the secret in the file that is named at a place of the configuration.
func (c *configCheck) secretFile(at, name string) huawei.Secret {
	if c.openSecret == nil {
		return huawei.Secret{}
	}
	data, ok := c.privateFile(at, name, maxSecret+1, "nothing but the value")
	if !ok {
		return huawei.Secret{}
	}
	return c.secret(at, "the file "+shown(c.path(name)), oneLine(data))
}

// oneLine takes off the line break at the end of a file.
func oneLine(data []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
}

// privateFile reads a file with secrets that is named at a place of the configuration. holds says what shall be in it.
func (c *configCheck) privateFile(at, name string, most int64, holds string) (data []byte, ok bool) {
	data, problem, remedy := readPrivate(c.openSecret, c.path(name), most, holds)
	if problem != "" {
		c.doc.Add(at, problem, remedy)
	}
	return data, problem == ""
}

// readPrivate reads a file with secrets, or says what is wrong with it and what to do.
func readPrivate(open opener, path string, most int64, holds string) (data []byte, problem, remedy string) {
	data, err := read(open, path, most, func(info fs.FileInfo) error { return private(info, os.Geteuid()) })
	if err == nil {
		return data, "", ""
	}
	remedy = "create the file, or name another one"
	switch {
	case errors.Is(err, errLeadsOut):
		remedy = "name the file itself, or put it into the folder"
	case errors.Is(err, errForeign):
		remedy = "make the user that runs the program its owner, or root"
	case errors.Is(err, errReadable):
		remedy = "take the others' rights away with chmod 600"
	case errors.Is(err, errNotRegular):
		remedy = "name a plain file that holds " + holds
	case errors.Is(err, fs.ErrPermission):
		remedy = "make the user that runs the program the owner of the file"
	}
	return nil, fmt.Sprintf("the file %s cannot be used: %s", shown(path), reason(err)), remedy
}

var (
	errReadable = errors.New("others than its owner can read it")
	errForeign  = errors.New("it belongs to another user, who decides what the secret is")
	errLeadsOut = errors.New("it is a link that leads out of its folder")
)

// openSecret opens a file with a secret. A link is followed as long as it stays within the folder of the file that is named,
// which is how Kubernetes mounts secrets; one that leads elsewhere is refused, since whoever made it, or can write there,
// decides which of all files the program takes for its key.
func openSecret(path string) (fs.File, error) {
	folder, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	f, err := folder.OpenFile(filepath.Base(path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		return f, nil
	}
	if outside, other := openFile(path); other == nil {
		return nil, errors.Join(errLeadsOut, outside.Close())
	}
	return nil, err
}

// private refuses a file that belongs to neither this user nor root, or that others than its owner can read. Root may let a
// group read it, and no more: that is how Kubernetes hands a secret to a program that does not run as root. Windows knows
// no such bits.
func private(info fs.FileInfo, user int) error {
	if foreign(info, user) {
		return errForeign
	}
	forbidden := fs.FileMode(0o077)
	if ownedByRoot(info) {
		forbidden = 0o037
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&forbidden != 0 {
		return fmt.Errorf("%w (mode %04o)", errReadable, mode)
	}
	return nil
}

// secretEnv reads the secret in the environment variable that is named at a place of the configuration.
func (c *configCheck) secretEnv(at, name string) huawei.Secret {
	if c.openSecret == nil {
		return huawei.Secret{}
	}
	value, set := c.lookupEnv(name)
	if value == "" {
		state := "is not set"
		if set {
			state = "is empty"
		}
		c.doc.Add(at, fmt.Sprintf("the environment variable %s %s", shown(name), state),
			"set it for the program, or use files (ak_file, sk_file)")
		return huawei.Secret{}
	}
	return c.secret(at, "the environment variable "+shown(name), value)
}

// secret refuses what cannot be a key and would only be refused by the cloud later. The value is never shown.
func (c *configCheck) secret(at, where, value string) huawei.Secret {
	if problem := noKey(value); problem != "" {
		remedy := "put nothing but the value into it"
		if problem == tooShort {
			remedy = "put the whole value into it"
		}
		c.doc.Add(at, where+" "+problem, remedy)
		return huawei.Secret{}
	}
	return huawei.NewSecret(value)
}

// noKey says why a value cannot be a key; it is empty when it can.
func noKey(value string) string {
	switch {
	case value == "":
		return "is empty"
	case len(value) > maxSecret:
		return fmt.Sprintf("has more than %d bytes", maxSecret)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "holds a space, a line break or another character that no key has"
	case len(value) < minSecret:
		return tooShort
	}
	return ""
}

// shown returns a name for an error message, but hides what looks like a key that somebody wrote in its place.
func shown(name string) string {
	base := filepath.Base(name)
	if len(base) >= 16 && !strings.ContainsAny(base, "._-") && strings.ContainsAny(base, "0123456789") {
		return "that is named here"
	}
	return fmt.Sprintf("%q", name)
}
