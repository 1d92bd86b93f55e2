package demo

import "syscall"

// childAttributes keep a terminal's Ctrl-C from a child, which goes when we say so. With follow, the system kills it when
// this process dies, even by a panic or SIGKILL.
func childAttributes(follow bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if follow {
		a.Pdeathsig = syscall.SIGKILL
	}
	return a
}
