// Package change holds the values that travel through Shapebus: log sequence
// numbers, offsets, transaction ids and snapshots, relations, rows, ops and
// fragments.
//
// It knows nothing about bytes on the wire (package wire), about Postgres
// connections (package pg) or about streams (package stream), and imports
// only the standard library.
package change
