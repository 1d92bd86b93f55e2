//go:build unix

package pgtemp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	dirPrefix = "shapebus-pg-"     // our temporary directories, in the system's place for such
	newPrefix = "shapebus-new-pg-" // while they have no lock yet
	dataName  = "data"
	lockName  = "lock" // in each of them, locked while somebody needs it
)

// newTempDir makes a temporary directory and locks it. The lock is on the open file, which the server inherits, so it lasts until
// this process and the server have both ended, however they end. That is what tells sweep that nobody needs the directory any more.
func newTempDir() (dir string, lock *os.File, err error) {
	sweep(os.TempDir())
	fresh, err := os.MkdirTemp("", newPrefix)
	if err != nil {
		return "", nil, err
	}
	lock, err = os.OpenFile(filepath.Join(fresh, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = flock(lock)
	}
	if err == nil {
		err = os.Chmod(fresh, 0o755) // MkdirTemp lets only us in, and the server may run as somebody else
	}
	if err == nil {
		dir = filepath.Join(filepath.Dir(fresh), dirPrefix+strings.TrimPrefix(filepath.Base(fresh), newPrefix))
		err = os.Rename(fresh, dir)
	}
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(fresh))
	}
	return dir, lock, nil
}

// sweep removes what processes left behind that were killed before they could call Stop. It is a courtesy: what it cannot
// remove, another user's for example, stays.
func sweep(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if flock(lock) == nil {
			_ = removeTempDir(dir)
		}
		_ = lock.Close() // opened to be locked; nothing was written
	}
}

// removeTempDir removes the lock last: killed half way, it leaves something that the next sweep recognises.
func removeTempDir(dir string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, dataName)), os.RemoveAll(dir))
}

// flock locks a file at once or not at all.
func flock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
