// Package live is the main loop: the one goroutine that reads the change log for the live shapes, and
// what it owns.
//
// The Loop decodes each message once, offers its ops to the live shapes (package follow), appends
// what comes of them, and writes the partitions' checkpoints. Others call on it with OnMain; what is
// said to run on the main loop needs no lock. A shape that is not live has an Owner, and the Loop has
// the only table that says who that is. What is built on the main loop, it asks and tells through one
// interface, Above: it does not know how shapes are created, nor what groups are.
//
// A partition whose stream cannot be written leaves the session (drop.go): its shapes stop where they
// are and nobody is told that they end.
package live
