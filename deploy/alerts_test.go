package deploy

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// rule is the expression of an alert.
func rule(t *testing.T, name string) string {
	t.Helper()
	groups, errs := rulefmt.ParseFile("prometheus/shapebus.rules.yml", false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, group := range groups.Groups {
		for _, r := range group.Rules {
			if r.Alert == name {
				return r.Expr
			}
		}
	}
	t.Fatalf("there is no alert %s", name)
	return ""
}

// recorded holds series of a value a minute from the epoch on, as Prometheus' own tests of rules write them.
type recorded []storage.Series

func record(t *testing.T, lines []string) (all recorded) {
	t.Helper()
	for _, line := range lines {
		metric, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		series := promql.Series{Metric: metric}
		for i, v := range values {
			if !v.Omitted {
				series.Floats = append(series.Floats, promql.FPoint{T: int64(i) * time.Minute.Milliseconds(), F: v.Value})
			}
		}
		all = append(all, promql.NewStorageSeries(series))
	}
	return all
}

// find is what a storage does.
func (r recorded) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found set
	for _, s := range r {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
			found.rest = append(found.rest, s)
		}
	}
	return &found
}

// set goes through series.
type set struct {
	at   storage.Series
	rest []storage.Series
}

func (s *set) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.at, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *set) At() storage.Series { return s.at }

func (*set) Err() error { return nil }

func (*set) Warnings() annotations.Annotations { return nil }

// fires evaluates an alert behind so many minutes: its value, for source main, or "" if it does not fire.
func (r recorded) fires(t *testing.T, alert string, minutes time.Duration) string {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	at := time.UnixMilli(0).Add(minutes * time.Minute)
	query, err := engine.NewInstantQuery(t.Context(), &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: r.find}}, nil, rule(t, alert), at)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	fires, err := query.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	value := ""
	for _, s := range fires {
		if s.Metric.Get("source") != "main" {
			t.Errorf("it fires for %s", s.Metric)
		}
		value += fmt.Sprint(s.F)
	}
	return value
}

// TestAlertsMissWhoIsGone has two hours of processes that are scraped in the first; in the second some of them, or all, are gone. A
// gateway stays.
func TestAlertsMissWhoIsGone(t *testing.T) {
	const gateway = `shapebus_build_info{source="main", instance="gateway"} 1x120`
	ingests := func(values ...string) []string { return series("shapebus_ingest_streaming", values) }
	consumers := func(values ...string) []string { return series("shapebus_consumer_partitions", values) }
	materializers := func(values ...string) []string { return series("shapebus_materializer_partitions", values) }
	for _, c := range []struct {
		name, alert string
		series      []string
		want        string
	}{
		{"one ingest reads the slot and one stands by", "ShapebusNobodyReadsTheSlot", ingests("1x120", "0x120"), ""},
		{"another ingest has taken over", "ShapebusNobodyReadsTheSlot", ingests("1x60 stale", "0x60 1x60"), ""},
		{"every ingest stands by", "ShapebusNobodyReadsTheSlot", ingests("1x60 0x60", "0x120"), "0"},
		{"two ingests read the slot", "ShapebusNobodyReadsTheSlot", ingests("1x120", "1x120"), "2"},
		{"all ingests are gone", "ShapebusNobodyReadsTheSlot", ingests("1x60 stale", "0x60 stale"), "0"},
		{"no ingest has ever been", "ShapebusNobodyReadsTheSlot", nil, "0"},
		{"the consumers have all partitions", "ShapebusPartitionsUnowned", consumers("4x120", "4x120"), ""},
		{"another consumer has the partitions", "ShapebusPartitionsUnowned", consumers("8x60 stale", "0x60 8x60"), ""},
		{"the consumers that are left have half of them", "ShapebusPartitionsUnowned", consumers("4x120", "4x60 stale"), "4"},
		{"all consumers are gone", "ShapebusPartitionsUnowned", consumers("4x60 stale", "4x60 stale"), "0"},
		{"the materializers have all partitions", "ShapebusValueSetsUnowned", materializers("8x120"), ""},
		{"all materializers are gone", "ShapebusValueSetsUnowned", materializers("8x60 stale"), "0"},
		{"no materializer has ever been", "ShapebusValueSetsUnowned", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := record(t, append(c.series, gateway)).fires(t, c.alert, 120); got != c.want {
				t.Errorf("it fires with %q, want %q", got, c.want)
			}
		})
	}
	if got := record(t, nil).fires(t, "ShapebusNobodyReadsTheSlot", 120); got != "" {
		t.Errorf("of a source that nobody has heard of it fires with %q", got)
	}
}

// series are those of a metric, one for each process.
func series(metric string, values []string) (lines []string) {
	for i, v := range values {
		lines = append(lines, fmt.Sprintf("%s{source=%q, instance=\"%d\"} %s", metric, "main", i, v))
	}
	return lines
}
