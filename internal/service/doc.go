// Package service holds what the services have in common beside their work: what a Config gets where
// it says nothing, what a process is called, how trouble is waited out, counted and shown, and how
// other goroutines call on the one that owns a session's state. It decides nothing for a service and
// knows no stream; what is stored about processes (leases, members) is package registry's.
package service
