package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/e2e/proc"
)

// The benches run this program again as the NATS server, and here this program is the test.
func TestMain(m *testing.M) {
	proc.ServeNATS()
	if len(os.Args) > 1 && os.Args[1] == natsCommand {
		main()
	}
	os.Exit(m.Run())
}

// TestBenches runs every bench in a tiny size. The figures mean nothing then, but there must be all of them.
func TestBenches(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres and builds the binary; not in -short")
	}
	binary, err := buildBinary(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, figures string }{
		{
			"memory -rows 20000",
			"ingest_rss_100k ingest_rss_5m consumer_rss_100k consumer_rss_5m memory_ratio_ingest memory_ratio_consumer",
		},
		{
			"throughput -rows 20000 -transactions 500 -runs 1",
			"big_ingest_ratio big_end_to_end_ratio small_ingest_ratio small_end_to_end_ratio " +
				"big_floor_rows_per_s big_ingest_rows_per_s big_end_to_end_rows_per_s " +
				"small_floor_rows_per_s small_ingest_rows_per_s small_end_to_end_rows_per_s " +
				"big_floor_cpu_receiver big_end_to_end_cpu_receiver big_end_to_end_cpu_consumer big_end_to_end_cpu_nats",
		},
		{"values -values 20000", "bytes_per_value bytes_per_value_peak bytes_per_value_of_rows value_set_restore_s"},
		{
			"latency -transactions 100",
			"latency_p50_ms latency_p99_ms latency_max_ms latency_fsync_p50_ms latency_fsync_p99_ms latency_fsync_max_ms",
		},
		{
			"filter -shapes 1000 -count 1 -period 5ms",
			"filter_ratio_1k filter_ns_nomatch_1k filter_ns_match_1k filter_bytes_per_shape",
		},
		{
			"shapes -shapes 30 -rate 50 -period 2s",
			"shapes_created_per_s shapes_latency_p50_ms shapes_latency_p99_ms shapes_rows_per_s shapes_consumer_cpu shapes_consumer_rss " +
				"shapes_restart_s shapes_restart_rss",
		},
		{
			"idle -plain 20 -subqueries 5 -toggles 10 -period 1s",
			"idle_consumer_cpu_percent toggle_cpu_ms idle_materializer_cpu_percent idle_consumer_rss",
		},
		{
			"gateway -transactions 20 -polls 5 -clients 20 -changes 2 -rows 30000 -few 15000",
			"gateway_p50_ms gateway_p99_ms gateway_clients gateway_fanout_p50_ms gateway_fanout_p99_ms gateway_kib_per_client " +
				"gateway_first_rows_ms gateway_replay_mb_s gateway_replay_jetstream_mb_s gateway_rss_ratio",
		},
		{
			"takeover -shapes 20 -partitions 2 -runs 1",
			"takeover_stop_ms takeover_stop_p90_ms takeover_kill_ms takeover_kill_p90_ms takeover_freeze_ms takeover_freeze_p90_ms",
		},
		{"scale -shapes 20 -logs 1,2 -rate 20 -period 2s", "scale_consumer_cpu_share_4 scale_overhead_4 scale_rows_lost"},
		{
			"failover -rows 20000 -runs 1 -outage 1s -down 1s -only leader,restart", // all of them take two minutes
			"failover_leader_ms failover_restart_ms",
		},
		{
			"fold -rows 5000 -changed 2000 -times 6 -transactions 100",
			"fold_bytes_ratio fold_bytes_most_ratio fold_catchup_ratio fold_catchup_grown_ratio fold_rss_ratio fold_rss_large fold_large_s " +
				"fold_canary_p99_ratio fold_canary_p99_ms",
		},
		{
			"soak -minutes 0.1 -rate 50 -toggles 2 -churn 2 -shapes 3 -every 500ms -retention 1s",
			"soak_ingest_rss_mib_per_min soak_consumer_rss_mib_per_min soak_materializer_rss_mib_per_min soak_nats_rss_mib_per_min soak_nats_heap_mib_per_min " +
				"soak_ingest_heap_mib_per_min soak_consumer_goroutines_per_min soak_materializer_fds_per_min " +
				"soak_streams_mib_per_min soak_subjects_per_min soak_keys_per_min soak_left_logs soak_left_subjects soak_left_keys",
		},
		{"subquery -part memory -rows 20000 -values 2000 -set 4000", "memory_ratio_outer memory_ratio_inner memory_ratio_both"},
		{"subquery -part revocation -revoke 5000", "revocation_consumer_rss revocation_materializer_rss"},
		{"subquery -part values -held 20000", "bytes_per_value consumer_bytes_per_value"},
		{
			"subquery -part latency -shapes 12 -changes 20",
			"reconcile_p50_ms reconcile_p99_ms units_per_change reconcile_p50_ms_1000 reconcile_p99_ms_1000 units_per_change_1000",
		},
		{
			"subquery -part slow -stall 2s",
			"slot_lag_before_reconcile slot_lag_during_reconcile other_p99_ms_before_reconcile other_p99_ms_during_reconcile reconcile_held_up_s",
		},
	} {
		args := append(strings.Fields(c.args), "-binary", binary)
		t.Run(c.args+" prints all of its figures", func(t *testing.T) {
			if !slices.Contains([]string{"throughput", "filter", "subquery", "fold"}, strings.Fields(c.args)[0]) {
				long.Only(t)
			}
			t.Parallel()
			var out bytes.Buffer
			if code := run(t.Context(), args, &out, t.Output()); code != 0 {
				t.Fatalf("bench %s exits with %d", c.args, code)
			}
			t.Log(out.String())
			var names []string
			for _, m := range regexp.MustCompile(`(?m)^figure (\S+) -?\d+(?:\.\d+)? \S+$`).FindAllStringSubmatch(out.String(), -1) {
				names = append(names, m[1])
			}
			for want := range strings.FieldsSeq(c.figures) {
				if !slices.Contains(names, want) {
					t.Errorf("no figure %s", want)
				}
			}
		})
	}
}

func TestWrongUsageIsSaid(t *testing.T) {
	for _, args := range [][]string{nil, {"speed"}, {"memory", "5m"}, {"latency", "-rows", "5"}, {"filter", "-rate", "5"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || errs.Len() == 0 || out.Len() != 0 {
			t.Errorf("bench %q exits with %d and says %q %q, want 2 and how to use it", args, code, errs.String(), out.String())
		}
	}
}
