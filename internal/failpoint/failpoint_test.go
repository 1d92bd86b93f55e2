package failpoint

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryPointHasANameOfItsOwn(t *testing.T) {
	seen := map[string]Point{}
	for _, s := range []Service{Ingest, Consumer, Materializer, Source} {
		for _, p := range Of(s) {
			if other, ok := seen[p.String()]; ok {
				t.Errorf("points %d and %d are both %s", other, p, p)
			}
			seen[p.String()] = p
			if got, err := Find(s, p.String()); err != nil || got != p {
				t.Errorf("%s of %s is read as %d, error %v", p, s, got, err)
			}
		}
	}
	if n := len(points) - 1; len(seen) != n || n != int(AfterGrown) { // all but the zero value
		t.Errorf("%d points have names, the last one has number %d", len(seen), AfterGrown)
	}
	if first, last := Of(Consumer)[0], Of(Consumer)[len(Of(Consumer))-1]; first != TableNoted || last != FoldPurged {
		t.Errorf("the consumer's points are %s to %s", first, last)
	}
}

func TestAPointOfAnotherServiceIsNone(t *testing.T) {
	for _, name := range []string{"", "after", AfterAck.String(), "failpoint 0"} {
		_, err := Find(Materializer, name)
		if err == nil {
			t.Fatalf("%q is a point of the materializer", name)
		}
		if !strings.Contains(err.Error(), "after_base_values") {
			t.Errorf("%v: it does not say which there are", err)
		}
	}
	if Of("gateway") != nil || slices.Contains(Of(Ingest), AfterBase) {
		t.Error("points of one service are listed for another")
	}
	if got := Point(0).String(); got != "failpoint 0" {
		t.Errorf("no point is called %s", got)
	}
}

func TestADeathIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]*Death{
		"after_ack": At(AfterAck, 1), "after_ack:1": At(AfterAck, 1), "between_fragments:40": At(BetweenFragments, 40),
		"": nil, "after_akc": nil, "unit_open": nil, "after_ack:": nil, "after_ack:0": nil, "after_ack:-1": nil, "after_ack:x": nil, "after_ack:1:1": nil,
	} {
		got, err := ParseDeath(Ingest, text)
		if (err == nil) != (want != nil) || want != nil && *got != *want {
			t.Errorf("%q is read as %v, error %v; want %v", text, got, err, want)
		}
		if want == nil {
			continue
		}
		if again, err := ParseDeath(Ingest, got.String()); err != nil || *again != *got {
			t.Errorf("%s is read as %v, error %v", got, again, err)
		}
	}
}
