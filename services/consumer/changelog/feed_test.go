package changelog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// The name of a schema becomes a key: one that is none is a message that cannot be read, and not a question.
func TestASchemaIsNamedByAFingerprint(t *testing.T) {
	source := topology.Source("main")
	for _, name := range []string{"", "0123456789ABCDEF", "oid.7", ">", strings.Repeat("a", 4000)} {
		ops := wire.NewFragmentBuilder()
		ops.Add(&change.Op{Kind: change.Insert, New: change.Row{[]byte("1")}})
		b := wire.NewChangeBuilder()
		b.Add(&change.Fragment{XID: 1, LSN: 10, Relation: name, First: true, Last: true, End: change.OpStep, Tables: []uint32{7}}, ops)
		control, err := wire.EncodeControl(wire.Control{Kind: wire.ControlRelation, LSN: 10, OID: 7, Relation: name})
		if err != nil {
			t.Fatal(err)
		}
		for subject, body := range map[string][]byte{source.ChangeSubject("public", "t"): b.Bytes(), source.ControlSubject(): control} {
			m := stream.Received{Subject: subject, Seq: 1, First: 1, Data: body, Header: nats.Header{topology.HeaderLSN: {"10"}}}
			_, err := changelog.NewFeed(source, nil, new(wire.ChangeDecoder)).Read(t.Context(), m,
				func(wire.Control) error { t.Error("a control entry came"); return nil },
				func(*change.Relation, *change.Fragment) error { t.Error("a fragment came"); return nil })
			var poison *changelog.PoisonError
			if !errors.As(err, &poison) || len(err.Error()) > 300 {
				t.Errorf("%.40q on %s: %.400v", name, subject, err)
			}
		}
	}
}
