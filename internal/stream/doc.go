// Package stream writes and reads JetStream streams as Shapebus needs them:
// one writer per stream with a window of messages in flight (Appender),
// messages larger than the server takes (parts), ordered reading that notices
// gaps and another stream under the old name (Reader), reading through a durable
// (Durable), and finding a place by LSN (Seek).
//
// What the messages mean is not its business.
package stream
