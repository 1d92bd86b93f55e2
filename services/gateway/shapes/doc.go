// Package shapes reads shapes for the gateway: each once in a process, however many clients want it. It holds a short window
// of what was committed last, already encoded, and a bounded cache of larger pieces, which it reads again from JetStream when
// they are asked for again. A piece that is full never changes: the same place gives the same bytes in every process.
//
// It knows nothing of HTTP.
package shapes
