package main

import "syscall"

// freeSpace is what is free for this user on the disk that holds dir, in bytes.
func freeSpace(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// syncDisks writes to disk what is waiting for it, so that one measurement does not pay for what was before it.
func syncDisks() { syscall.Sync() }
