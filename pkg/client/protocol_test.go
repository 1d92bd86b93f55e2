package client_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// docs/PROTOCOL.md is for people who write readers in other languages; they
// have nothing else to go by.
func TestProtocolDocument(t *testing.T) {
	data, err := os.ReadFile("../../docs/PROTOCOL.md")
	ok(t, err)
	doc := string(data)

	t.Run("spells the names as the code does", func(t *testing.T) {
		src := topology.Source("<source>")
		subject := func(s string) string { return strings.Replace(s, ".9.", ".<p>.", 1) }
		for _, name := range []string{
			strings.Replace(src.ShapeStream(9), "9", "<p>", 1), subject(src.LogSubject(9, "<handle>")), subject(src.LiveSubject(9, "<handle>")),
			strings.Replace(subject(src.SegmentSubject(9, "<handle>", 0)), "seg.0", "seg.<n>", 1), subject(src.CheckpointSubject(9)),
			subject(src.GenerationSubject(9, "<handle>")),
			src.ChangeStream(), src.ControlSubject(), src.RelationBucket(), src.ControlPlane() + ".<endpoint>",
			topology.HeaderTail, topology.HeaderPart, topology.HeaderLSN,
			control.EndpointCreate, control.EndpointGet, control.EndpointList, control.EndpointDelete, control.EndpointFold, control.EndpointStatus, control.EndpointCheck, control.EndpointExplain,
			control.CodeBadRequest, control.CodeForbidden, control.CodeNotFound, control.CodeConflict, control.CodeUnavailable,
			string(control.StateCreating), string(control.StateLive), string(control.StateEnded), string(control.StateDeleting),
			string(wire.ControlBarrier), string(wire.ControlRelation), string(wire.ControlReset), control.WriteUnit,
		} {
			if !strings.Contains(doc, name) {
				t.Errorf("does not mention %s", name)
			}
		}
	})
	t.Run("names the rights that a reader has in the tests", func(t *testing.T) {
		_, section, _ := strings.Cut(doc, "## 5. Permissions")
		r := readerRights()
		for _, right := range append(r.publish, r.subscribe...) {
			name := strings.NewReplacer("SHAPES-test-0", "SHAPES-<source>-<p>", ".test.", ".<source>.", "shapebus.test.shape.get", "….get").Replace(right)
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("does not name %s", name)
			}
		}
	})
	t.Run("has an example that decodes to what it says", func(t *testing.T) {
		block := regexp.MustCompile("(?s)```hex\n(.*?)```").FindStringSubmatch(doc)
		if block == nil {
			t.Fatal("has none")
		}
		body, err := hex.DecodeString(strings.Join(strings.Fields(block[1]), ""))
		ok(t, err)
		var got strings.Builder
		var dec wire.LogDecoder
		ok(t, dec.Decode(body, func(e *wire.Entry) error {
			fmt.Fprintf(&got, "[%d, %d, %d, %d, %t, %d, [", e.Kind, e.XID, uint64(e.LSN), e.CommitTime, e.Last, e.End)
			for i, op := range e.Ops {
				if i > 0 {
					got.WriteString(", ")
				}
				var row []string
				for _, v := range op.Row {
					row = append(row, fmt.Sprintf("%q", v))
				}
				fmt.Fprintf(&got, "[%d, %d, [%s]]", op.Index, op.Kind, strings.Join(row, ", "))
			}
			got.WriteString("]]")
			return nil
		}))
		if !strings.Contains(doc, "`"+got.String()+"`") {
			t.Errorf("it is %s", got.String())
		}
	})
	t.Run("has an example of a tail that parses", func(t *testing.T) {
		example := regexp.MustCompile("`([0-9_]+ [0-9_]+ live [0-9 ]+)`").FindStringSubmatch(doc)
		if example == nil {
			t.Fatal("has none")
		}
		tail, err := wire.ParseTail(example[1])
		ok(t, err)
		if tail.Open() {
			t.Error("it is not at rest")
		}
	})
}
