//go:build unix && !linux

package demo

import "syscall"

// childAttributes keep a terminal's Ctrl-C from a child, which goes when we say so. Only Linux can also end it when this
// process is killed.
func childAttributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
