//go:build unix

// Package tempdir makes temporary directories that do not outlive their use for long, even when their process is killed: each
// one holds a lock file, and the next New removes those that nobody has locked. It also locks directories that are not temporary,
// for servers that would damage each other's data.
//
// It removes nothing that it did not make, and nothing whose lock it cannot get.
package tempdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockName is a file in each directory. The lock is on the open file: it ends when every process that has it open has ended,
// however it ends.
const lockName = "shapebus.lock"

// ErrInUse says that somebody else has locked the directory.
var ErrInUse = errors.New("it is in use by another server; stop that one or use another directory")

// Dir is a locked temporary directory.
type Dir struct {
	path string
	lock *os.File
}

// New makes a directory in [os.TempDir] that only this user can enter. Its name starts with prefix, which names a use: directories of
// the same use that are left from killed processes are removed first.
func New(prefix string) (*Dir, error) {
	sweep(prefix)
	// Under its real name only once it is locked, so that no other process takes it for a left one.
	path, err := os.MkdirTemp("", "new-"+prefix)
	if err != nil {
		return nil, err
	}
	lock, err := Lock(path)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	d := &Dir{path: path, lock: lock}
	final := filepath.Join(filepath.Dir(path), strings.TrimPrefix(filepath.Base(path), "new-"))
	if err := os.Rename(path, final); err != nil {
		return nil, errors.Join(err, d.Remove())
	}
	d.path = final
	return d, nil
}

// Path is the directory.
func (d *Dir) Path() string { return d.path }

// File is the lock. A child process that inherits it keeps the directory as long as it runs.
func (d *Dir) File() *os.File { return d.lock }

// Remove deletes the directory with all that is in it and gives the lock back. Call it once, when nobody writes there any more.
func (d *Dir) Remove() error {
	return errors.Join(remove(d.path), d.lock.Close())
}

// remove leaves the lock file to the end: killed half way, it leaves something that the next sweep recognises.
func remove(path string) error {
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		if entry.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(path, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// sweep is a courtesy: what it cannot remove, another user's for example, stays.
func sweep(prefix string) {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if flock(lock) == nil {
			_ = remove(dir)
		}
		_ = lock.Close() // opened to be locked; nothing was written
	}
}

// Lock locks a directory until the file is closed or its processes end, or fails at once with ErrInUse.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}
