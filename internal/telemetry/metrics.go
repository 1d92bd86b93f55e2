package telemetry

import (
	"errors"
	"fmt"
	"maps"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metric is one figure at the moment it was asked for.
type Metric struct {
	Name    string // complete, in Prometheus' style: shapebus_ingest_rows_total
	Help    string // with the unit
	Counter bool   // only ever grows while the process lives; else a gauge
	Value   float64
	// Label, if set, names a label of its own, and Each has the figure for every value of it, in place of Value.
	Label string
	Each  map[string]int64
}

// Counter is a metric that only grows.
func Counter[N int64 | uint64](name, help string, value N) Metric {
	return Metric{Name: name, Help: help, Counter: true, Value: float64(value)}
}

// Gauge is a metric that goes up and down.
func Gauge(name, help string, value float64) Metric {
	return Metric{Name: name, Help: help, Value: value}
}

// GaugeBy is a gauge for each value of a label. There may be none.
func GaugeBy(name, help, label string, each map[string]int64) Metric {
	return Metric{Name: name, Help: help, Label: label, Each: each}
}

// Flag is a gauge of 1 or 0.
func Flag(name, help string, on bool) Metric {
	m := Metric{Name: name, Help: help}
	if on {
		m.Value = 1
	}
	return m
}

// Registry returns a registry with Go's and the process' own metrics, and, each with the given labels, a constant 1 that carries
// the version and the metrics that read returns. read is called at every scrape, and once now for the names: it
// must be cheap, safe for concurrent use, and always return the same names.
func Registry(version string, labels map[string]string, read func() []Metric) (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	about := prometheus.Labels{"version": version}
	maps.Copy(about, labels)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "shapebus_build_info", Help: "Always 1; the label version says which version runs.", ConstLabels: about,
	})
	info.Set(1)
	err := errors.Join(
		reg.Register(collectors.NewGoCollector()),
		reg.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		reg.Register(info),
		reg.Register(&collector{labels: labels, read: read}),
	)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return reg, nil
}

// collector turns figures read at scrape time into Prometheus metrics.
type collector struct {
	labels prometheus.Labels
	read   func() []Metric
}

func (c *collector) desc(m Metric) *prometheus.Desc {
	var own []string
	if m.Label != "" {
		own = []string{m.Label}
	}
	return prometheus.NewDesc(m.Name, m.Help, own, c.labels)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.read() {
		ch <- c.desc(m)
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.read() {
		kind := prometheus.GaugeValue
		if m.Counter {
			kind = prometheus.CounterValue
		}
		if m.Label == "" {
			ch <- prometheus.MustNewConstMetric(c.desc(m), kind, m.Value)
		}
		for label, n := range m.Each {
			ch <- prometheus.MustNewConstMetric(c.desc(m), kind, float64(n), label)
		}
	}
}
