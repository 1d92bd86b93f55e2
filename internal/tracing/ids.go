package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// IDs makes the ids of traces and spans. Those of a transaction's own trace and span follow from the transaction, so
// whoever sends the rest of it after a crash goes on with the same trace, and samplers that go by the
// trace's id decide alike. All others are random.
type IDs struct{}

// NewIDs returns the ids of a new trace and its first span.
func (IDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	t, ok := ctx.Value(transaction{}).(transaction)
	if !ok {
		var b [24]byte
		for i := 0; i < len(b); i += 8 {
			binary.NativeEndian.PutUint64(b[i:], rand.Uint64())
		}
		return split([32]byte(append(b[:], make([]byte, 8)...)))
	}
	b := append([]byte(t.source), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(t.lsn))
	b = binary.BigEndian.AppendUint32(b, uint32(t.xid))
	b = binary.BigEndian.AppendUint64(b, uint64(t.at)) //nolint:gosec // bits
	return split(sha256.Sum256(b))
}

// NewSpanID returns the id of another span.
func (IDs) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1) // an id is not zero
	return id
}

func split(b [32]byte) (t trace.TraceID, s trace.SpanID) {
	copy(t[:], b[:])
	copy(s[:], b[len(t):])
	t[0] |= 1 // an id is not zero
	s[0] |= 1
	return t, s
}
