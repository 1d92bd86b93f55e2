// Package wire holds the forms in which Shapebus stores things in JetStream:
// change log messages, shape log messages, segments, control entries,
// relations and checkpoints. All are MessagePack, so that any program can read
// them; docs/PROTOCOL.md shows them as tables.
//
// A message body is a sequence of MessagePack values: first the version, then
// the entries, to the end of the body. The two hot forms (changes and logs) are
// decoded in place: what a decoder returns points into the message and is
// valid until the next call.
//
// The package knows no subjects, headers' names or connections.
package wire

// Version is the first value of every body. A reader refuses any other.
const Version = 1
