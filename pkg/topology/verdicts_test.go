package topology_test

import (
	"regexp"
	"testing"

	"github.com/shapebus/shapebus/pkg/topology"
)

// What is stored under these names outlives the program: they cannot change.
func TestNamesOfVerdictsAreStable(t *testing.T) {
	s := topology.Source("Shop-1")
	set := topology.ValueSet("h-1", []int{2, 0})
	for got, want := range map[string]string{
		set:                             "h-1_2-0",
		s.VerdictStream(3):              "VERDICTS-Shop-1-3",
		s.VerdictSubject(3, set):        "sb.Shop-1.verdict.3.h-1_2-0.delta",
		s.BaseSubject(3, set):           "sb.Shop-1.verdict.3.h-1_2-0.base",
		s.BaseValuesSubject(3, set, 12): "sb.Shop-1.verdict.3.h-1_2-0.base.12",
		s.BaseRowsSubject(3, set, 12):   "sb.Shop-1.verdict.3.h-1_2-0.rows.12",
		s.SetSubjects(3, set):           "sb.Shop-1.verdict.3.h-1_2-0.>",
		s.VerdictSubjects(3):            "sb.Shop-1.verdict.3.>",
		s.MemberBucket():                "SB-Shop-1-members",
		topology.HoldingKey(topology.RoleMaterializer, 3): "materializer.3",
		topology.MaterializerDurable:                      "materializer",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSubjectsOfVerdictsTellTheirSet(t *testing.T) {
	s := topology.Source("main")
	for subject, want := range map[string]struct {
		set, what string
		number    uint64
		ofBase    bool
	}{
		s.VerdictSubject(1, "h_0"):       {set: "h_0", what: "delta"},
		s.BaseSubject(1, "h_0"):          {set: "h_0", what: "base"},
		s.BaseValuesSubject(1, "h_0", 7): {set: "h_0", number: 7, ofBase: true},
		s.BaseRowsSubject(1, "h_0", 8):   {set: "h_0", number: 8, ofBase: true},
		"sb.main.verdict.1._fence":       {},
	} {
		if got := topology.SetOfSubject(subject); got != want.set {
			t.Errorf("%s is about %q", subject, got)
		}
		if n, ok := topology.BaseNumber(subject); n != want.number || ok != want.ofBase {
			t.Errorf("%s is of base %d (%t)", subject, n, ok)
		}
		set, what := topology.SetOfVerdict(subject)
		if what != want.what || what != "" && set != want.set {
			t.Errorf("%s is %q about %q", subject, what, set)
		}
	}
}

// A key-value bucket takes no other characters.
func TestAnyNameMakesAMemberKey(t *testing.T) {
	valid := regexp.MustCompile(`^[-/_=.a-zA-Z0-9]+$`)
	seen := map[string]string{}
	for _, name := range []string{"host-1-2", "host.local", "größe", "a b", "a*", "a%", ">", "a=b"} {
		key := topology.MemberKey("materializer", name)
		if !valid.MatchString(key) || seen[key] != "" {
			t.Errorf("%q has the key %q, as %q has", name, key, seen[key])
		}
		seen[key] = name
	}
}
