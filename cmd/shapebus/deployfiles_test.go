package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// TestThereIsRoomForTheConnections holds what is written of connections to Postgres against what the services open, and
// max_connections of docker-compose.yml against the scale that is documented.
func TestThereIsRoomForTheConnections(t *testing.T) {
	tuning := parseAs(t, []string{"consumer"}, map[string]string{"SHAPEBUS_DATABASE_URL": "postgres://x@y/z"}).Consumer
	one := consumer.MostConnections(tuning.Snapshots, tuning.Folds)
	if with, without := (&checkCmd{Consumers: 1}).connections(), (&checkCmd{}).connections(); with-without != one {
		t.Errorf("check counts %d connections for a consumer, which opens up to %d", with-without, one)
	}
	consumers := 0
	for file, pattern := range map[string]string{
		"docs/OPERATIONS.md":               `uses at most (\d+) connections|opens up to (\d+) |room for (\d+) × N`,
		"docker-compose.yml":               `may open (\d+) connections`,
		"deploy/helm/shapebus/values.yaml": `opens up to (\d+) connections`,
		"cmd/shapebus/check.go":            `may open (\d+) connections`,
	} {
		for _, n := range numbers(t, file, pattern) {
			if n != one {
				t.Errorf("%s says %d connections of a consumer, which opens up to %d", file, n, one)
			}
		}
	}
	for _, file := range []string{"docker-compose.yml", "docs/OPERATIONS.md"} {
		consumers = max(consumers, slices.Max(numbers(t, file, `--scale consumer=(\d+)`)))
	}
	const reserved, defaultMax = 3, 100 // by Postgres for superusers, and unless configured
	room := defaultMax - reserved
	for _, setting := range readCompose(t).Services["postgres"].Command {
		if text, ok := strings.CutPrefix(setting, "max_connections="); ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			room = n - reserved
		}
	}
	// As many as of one more consumer are for a gateway and the application.
	if need := (&checkCmd{Consumers: consumers}).connections() + one; room < need {
		t.Errorf("with %d consumers, ingest, a gateway and an application %d connections are needed, and Postgres of docker-compose.yml has room for %d", consumers, need, room)
	}
}

// numbers are those that a pattern, with a group for each alternative, finds in a file.
func numbers(t *testing.T, file, pattern string) (found []int) {
	t.Helper()
	data, err := os.ReadFile(root(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
		n, err := strconv.Atoi(strings.Join(m[1:], ""))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, n)
	}
	if len(found) == 0 {
		t.Fatalf("%s has nothing like %s", file, pattern)
	}
	return found
}
