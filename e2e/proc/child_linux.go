package proc

import "syscall"

// childAttr has a child end when this process does, however that ends, and keeps a terminal's Ctrl-C from it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
