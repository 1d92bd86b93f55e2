// Package event holds what reading a shape gives an app: events, the rows in them, positions to go
// on from, and the errors that end reading. Apps use all of it under its names in package client.
//
// It holds values only: it reads no log, and keeps nothing.
package event
