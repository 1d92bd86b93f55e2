package shapelog

import (
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// A log has every transaction up to its place but those that are deferred there. The last marker names them for good if they
// change nothing, so what a later checkpoint says counts more.
func TestALogIsWholeUpToWhatIsMissing(t *testing.T) {
	unit := wire.Tail{Committed: change.Offset{LSN: 120, Op: 4}, Deferred: wire.FormatDeferred([]change.LSN{105, 110})}
	parked := func(lsn uint64, deferred ...change.LSN) Parked {
		return Parked{"h": {LSN: lsn, Deferred: wire.FormatDeferred(deferred), Handles: []string{"h"}}}
	}
	for _, tt := range []struct {
		name   string
		tail   wire.Tail
		cp     change.LSN
		parked Parked
		want   change.LSN
	}{
		{"a marker behind the checkpoint", wire.Tail{Committed: change.Offset{LSN: 120, Op: 4}}, 100, nil, 120},
		{"a checkpoint behind the marker", wire.Tail{Committed: change.Offset{LSN: 120, Op: 4}}, 130, nil, 130},
		{"a marker that defers some", unit, 100, nil, 104},
		{"the first of them has come, says the checkpoint", unit, 130, parked(120, 110), 109},
		{"all of them have", unit, 130, parked(120), 120},
		{"the shape has gone on since, elsewhere", unit, 150, parked(140), 140},
		{"the shape is with the main loop again", unit, 130, nil, 130},
		{"the checkpoint is older than the marker", unit, 130, parked(90), 104},
	} {
		if got := WholeTo(&registry.Shape{Handle: "h"}, tt.tail, tt.cp, tt.parked); got != tt.want {
			t.Errorf("%s: whole up to %d, want %d", tt.name, got, tt.want)
		}
	}
}
