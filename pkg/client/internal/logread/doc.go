// Package logread reads one shape's log and hands out its events in order, for as long as its
// context lives: it catches up with batched direct gets, hears of what is new on core NATS, finds
// its place again in a log that was made again or restored, and decides which errors pass.
//
// It gives bounded memory, whatever the transaction, and never an event that the log does not hold:
// what comes on core NATS is a hint. It keeps no rows and creates no shapes; that is package
// client's.
package logread
