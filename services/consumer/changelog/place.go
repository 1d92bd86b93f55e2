package changelog

import "github.com/shapebus/shapebus/pkg/change"

// Place is a place in the change log.
type Place struct {
	LSN change.LSN
	Seq uint64 // a hint; the LSN decides
}
