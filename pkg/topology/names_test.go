package topology_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/topology"
)

func TestTokenEscapesWhatCannotStandInASubject(t *testing.T) {
	for name, want := range map[string]string{
		"tasks": "tasks", "My_Table-2": "My_Table-2", "a.b": "a%2Eb", "*": "%2A", ">": "%3E", " ": "%20",
		"%2E": "%252E", "tä": "t%C3%A4", "$x": "%24x", "\x00\n": "%00%0A",
	} {
		if got := topology.Token(name); got != want {
			t.Errorf("Token(%q) = %q, want %q", name, got, want)
		}
	}
}

// Two tables on one subject would be one table to every reader.
func TestSubjectsOfTablesAreDifferentAndValid(t *testing.T) {
	name := rapid.OneOf(
		rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'A', '.', '%', '2', 'E', '*', '>', ' ', 'ä', '_'}), 1, 6, -1),
		rapid.StringN(1, 20, 63),
		rapid.SampledFrom([]string{"_control", "log", "%"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		source := topology.Source("main")
		s1, t1 := name.Draw(t, "schema"), name.Draw(t, "table")
		s2, t2 := name.Draw(t, "other schema"), name.Draw(t, "other table")
		one, two := source.ChangeSubject(s1, t1), source.ChangeSubject(s2, t2)
		if (one == two) != (s1 == s2 && t1 == t2) {
			t.Fatalf("%q.%q is on %s, %q.%q on %s", s1, t1, one, s2, t2, two)
		}
		tokens := strings.Split(one, ".")
		if len(tokens) != 5 || strings.ContainsAny(one, "*> \t\r\n\x00") {
			t.Fatalf("%q.%q is on %q", s1, t1, one)
		}
		for _, token := range tokens {
			if token == "" {
				t.Fatalf("%q.%q has an empty token in %q", s1, t1, one)
			}
		}
		if one == source.ControlSubject() {
			t.Fatalf("%q.%q is on the subject of control entries", s1, t1)
		}
	})
}

func TestParseSource(t *testing.T) {
	for _, name := range []string{"a", "main", "Main-2_b", strings.Repeat("x", 32)} {
		if got, err := topology.ParseSource(name); err != nil || string(got) != name {
			t.Errorf("ParseSource(%q) = %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 33), "a.b", "a b", "*", ">", "ä", "a\n", "a/b", "a\xff", "\u0161"} { // U+0161 ends in the byte of an a
		if got, err := topology.ParseSource(name); err == nil {
			t.Errorf("ParseSource(%q) = %q, want an error", name, got)
		} else if !strings.Contains(err.Error(), "source name") {
			t.Errorf("ParseSource(%q): %v", name, err)
		}
	}
}

// What is stored under these names outlives the program: they cannot change.
func TestNamesAreStable(t *testing.T) {
	s := topology.Source("Shop-1")
	for got, want := range map[string]string{
		s.ChangeStream():                                 "CHANGES-Shop-1",
		s.ChangeSubject("public", "My Table"):            "sb.Shop-1.change.public.My%20Table",
		s.ControlSubject():                               "sb.Shop-1.change._control",
		s.ShapeStream(3):                                 "SHAPES-Shop-1-3",
		s.LogSubject(3, "h-1"):                           "sb.Shop-1.shape.3.h-1.log",
		s.LogSubjects(3):                                 "sb.Shop-1.shape.3.*.log",
		s.SegmentSubject(3, "h-1", 18446744073709551615): "sb.Shop-1.shape.3.h-1.seg.18446744073709551615",
		s.SegmentSubjects(3, "h-1"):                      "sb.Shop-1.shape.3.h-1.seg.*",
		s.CheckpointSubject(3):                           "sb.Shop-1.shape.3._checkpoint",
		s.LiveSubject(3, "h-1"):                          "sb.Shop-1.live.3.h-1",
		s.ShapeBucket():                                  "SB-Shop-1-shapes",
		s.RelationBucket():                               "SB-Shop-1-relations",
		s.LeaseBucket():                                  "SB-Shop-1-leases",
		topology.OIDKey(16385):                           "oid.16385",
		topology.PreparedKey(16385):                      "prepared.16385",
		s.ControlPlane():                                 "shapebus.Shop-1",
		s.Publication():                                  "shapebus_shop_1_274ed63e", // what Postgres allows without quotes, and no other source has
		s.Slot() + " (slot)":                             "shapebus_shop_1_274ed63e (slot)",
		topology.HandleOfLog(s.LogSubject(3, "h-1")):     "h-1",
		topology.HandleOfLog(s.CheckpointSubject(3)) + "nothing":            "nothing",
		topology.HandleOfGeneration(s.GenerationSubject(3, "h-1")):          "h-1",
		topology.HandleOfGeneration(s.LogSubject(3, "h-1")) + "no":          "no",
		topology.HandleOfGeneration(s.SegmentSubject(3, "h-1", 4)) + "none": "none",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What is another source's must not go with this one.
func TestASourceOwnsItsStreamsOnly(t *testing.T) {
	s := topology.Source("a")
	for _, stream := range []string{"CHANGES-a", "SHAPES-a-0", "SHAPES-a-255", "VERDICTS-a-7", "KV_SB-a-shapes", "KV_SB-a-relations", "KV_SB-a-leases", "KV_SB-a-members"} {
		if !s.Owns(stream) {
			t.Errorf("%s is not of source %s", stream, s)
		}
	}
	for _, stream := range []string{
		"CHANGES-a-1", "CHANGES-b", "SHAPES-a", "SHAPES-a-", "SHAPES-a-1-0", "SHAPES-a-x", "SHAPES-a-256", "SHAPES-a-01", "SHAPES-a-+1", "SHAPES-a--1",
		"SHAPES-b-0", "VERDICTS-a-1-0", "KV_SB-a-1-shapes", "KV_SB-a-other", "KV_a", "orders", "",
	} {
		if s.Owns(stream) {
			t.Errorf("%q is taken for one of source %s", stream, s)
		}
	}
}
