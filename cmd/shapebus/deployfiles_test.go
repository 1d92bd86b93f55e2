package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/services/consumer"
	"github.com/shapebus/shapebus/services/gateway"
	"github.com/shapebus/shapebus/services/ingest"
	"github.com/shapebus/shapebus/services/materializer"
)

// metricNames are the names of all metrics of Shapebus' own.
func metricNames() []string {
	names := []string{"shapebus_build_info"}
	for _, m := range slices.Concat(ingestMetrics(ingest.Status{}), consumerMetrics(consumer.Status{}), materializerMetrics(materializer.Status{}), gatewayMetrics(gateway.Status{})) {
		names = append(names, m.Name)
	}
	return names
}

// TestDeployNamesWhatExists holds the files under deploy against the program: metrics in alerts and on the dashboard,
// variables and flags in the chart. That Prometheus and Helm take them is tested there.
func TestDeployNamesWhatExists(t *testing.T) {
	known := metricNames()
	foreign := []string{"process_resident_memory_bytes", "process_cpu_seconds_total"} // of Go's client library
	for _, file := range []string{"deploy/prometheus/shapebus.rules.yml", "deploy/grafana/shapebus.json"} {
		data, err := os.ReadFile(root(file))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\b(shapebus|process)_[a-z_]+`).FindAllString(string(data), -1)
		for _, name := range names {
			if !slices.Contains(known, name) && !slices.Contains(foreign, name) {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
		if len(names) < 15 {
			t.Errorf("%s names %d metrics; this test looks at the wrong thing", file, len(names))
		}
	}
	variables := environmentNames(model(t))
	err := filepath.WalkDir(root("deploy/helm"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, name := range regexp.MustCompile(`SHAPEBUS_[A-Z_]*[A-Z]`).FindAllString(string(data), -1) {
			if !slices.Contains(variables, name) {
				t.Errorf("%s: there is no variable %s", path, name)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestTheChartStartsRealCommands: every service takes the variables that the chart gives it.
func TestTheChartStartsRealCommands(t *testing.T) {
	data, err := os.ReadFile(root("deploy/helm/shapebus/templates/_service.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, service := range []string{"ingest", "consumer", "materializer", "gateway"} {
		env := map[string]string{"SHAPEBUS_SOURCE": "main", "SHAPEBUS_NATS_URL": "nats://nats:4222", "SHAPEBUS_NATS_INBOX_PREFIX": "_INBOX.shapebus"}
		for block := range strings.SplitSeq(text, "{{- if ") {
			condition, _, _ := strings.Cut(block, " }}")
			operator, name, _ := strings.Cut(condition, ` .name "`)
			name = strings.TrimSuffix(name, `"`)
			if operator != "eq" && operator != "ne" || (operator == "eq") != (name == service) {
				continue
			}
			block, _, _ = strings.Cut(block, "{{- end }}")
			for _, m := range regexp.MustCompile(`name: (SHAPEBUS_[A-Z_]+), value`).FindAllStringSubmatch(block, -1) {
				value := "3"
				switch m[1] {
				case "SHAPEBUS_SYNC_INTERVAL":
					value = "3s"
				case "SHAPEBUS_HTTP_LISTEN":
					value = ":3000"
				case "SHAPEBUS_DATABASE_URL_FILE":
					value = "/run/secrets/database/url"
				}
				env[m[1]] = value
			}
		}
		parseAs(t, []string{service}, env)
	}
}
