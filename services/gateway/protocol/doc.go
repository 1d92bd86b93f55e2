// Package protocol is the HTTP shape protocol as values: what a request asks for, what is wrong with it, and how messages,
// headers and offsets are written. It reads no network and keeps no state.
package protocol
