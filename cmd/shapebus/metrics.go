package main

import (
	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/services/consumer"
	"github.com/shapebus/shapebus/services/gateway"
	"github.com/shapebus/shapebus/services/ingest"
	"github.com/shapebus/shapebus/services/materializer"
)

// consumerMetrics are a consumer's figures under their names; docs/OPERATIONS.md says what to watch.
func consumerMetrics(s consumer.Status) []telemetry.Metric {
	list := []telemetry.Metric{
		telemetry.Gauge("shapebus_consumer_partitions", "Partitions whose shape logs this consumer writes.", float64(s.Owned)),
		telemetry.Counter("shapebus_consumer_partition_moves_total", "Partitions taken from others or free, and handed over to others.", s.Moves),
		telemetry.Gauge("shapebus_consumer_applied_lsn", "LSN in bytes up to which the change log has been applied.", float64(s.Applied)),
		telemetry.Gauge("shapebus_consumer_lag_bytes", "WAL in bytes from what is applied to the end of the change log, as it was seconds ago.", float64(s.LagBytes)),
		telemetry.Gauge("shapebus_consumer_lag_seconds", "Time since the commit that was read last, while there is more to read; else 0.", s.Lag.Seconds()),
		telemetry.Gauge("shapebus_consumer_read_age_seconds", "Time since a change log message was read; -1 if none was.", health.Age(s.HeardAt)),
		telemetry.Gauge("shapebus_consumer_appended_age_seconds", "Time since something was appended to a shape log; -1 if nothing was.", health.Age(s.WroteAt)),
		telemetry.Gauge("shapebus_consumer_acked_age_seconds", "Time since JetStream acknowledged a shape log's message; -1 if it did none.", health.Age(s.StoredAt)),
		telemetry.Gauge("shapebus_consumer_unread_messages", "Change log messages not read yet.", float64(s.Unread)),
		telemetry.Gauge("shapebus_consumer_partitions_down", "Partitions that cannot be written; their shapes wait.", float64(len(s.Down))),
		telemetry.Gauge("shapebus_consumer_tables_harmed", "Tables of which the application's updates fail because of shapes, which only a person can end.", float64(len(s.Harm))),
		telemetry.Counter("shapebus_consumer_partition_losses_total", "Times that a partition could not be written any more.", s.Drops),
		telemetry.Counter("shapebus_consumer_unreadable_messages_total", "Stored messages that cannot be read; the shapes they concern ended.", s.Poison),
		telemetry.Gauge("shapebus_consumer_shapes_live", "Shapes that follow the change log.", float64(s.Live)),
		telemetry.GaugeBy("shapebus_consumer_unindexed_shapes", "Live shapes that no index finds by their clauses: every change of the table is compared with them.", "table", s.Unindexed),
		telemetry.Gauge("shapebus_consumer_shapes_parked", "Shapes being created.", float64(s.Parked)),
		telemetry.Counter("shapebus_consumer_messages_total", "Change log messages read.", s.Messages),
		telemetry.Counter("shapebus_consumer_ops_total", "Row changes routed to shapes.", s.Ops),
		telemetry.Counter("shapebus_consumer_appended_messages_total", "Shape log messages appended.", s.Appended),
		telemetry.Counter("shapebus_consumer_appended_bytes_total", "Bytes appended to shape logs.", s.AppendedB),
		telemetry.Counter("shapebus_consumer_units_total", "Units opened because what a subquery selects has changed.", s.Units),
		telemetry.Counter("shapebus_consumer_reread_rows_total", "Rows read back from Postgres for units.", s.Reread),
		telemetry.Counter("shapebus_consumer_aborts_total", "Logs of which an unfinished unit or transaction was aborted.", s.Aborts),
		telemetry.Gauge("shapebus_consumer_folds_running", "Shape logs being folded.", float64(s.Folding)),
		telemetry.Counter("shapebus_consumer_folds_total", "Shape logs folded.", s.Folds),
		telemetry.Counter("shapebus_consumer_fold_failures_total", "Attempts to fold a shape log that failed.", s.FoldFails),
		telemetry.Counter("shapebus_consumer_fold_rows_total", "Rows read from Postgres for folds.", s.FoldRows),
		telemetry.Counter("shapebus_consumer_retries_total", "Sessions that ended in an error and were started again.", s.Retries),
		telemetry.Gauge("shapebus_consumer_values", "Values that subqueries select.", float64(s.Values)),
		telemetry.Counter("shapebus_consumer_shapes_too_costly_total", "Shapes that ended because a change would have cost their clause too much.", s.Costly),
	}
	costly := map[string]int64{}
	for _, handle := range s.CostlyLast {
		costly[handle] = 1
	}
	return append(list, telemetry.GaugeBy("shapebus_consumer_shape_too_costly", "1 for each of the last shapes that ended because a change would have cost their clause too much.", "shape", costly))
}

// ingestMetrics are ingest's figures under their names.
func ingestMetrics(s ingest.Status) []telemetry.Metric {
	return []telemetry.Metric{
		telemetry.Flag("shapebus_ingest_streaming", "1 while changes are read from the replication slot.", s.State == ingest.StateStreaming),
		telemetry.Flag("shapebus_ingest_standby", "1 while another ingest has the slot.", s.State == ingest.StateStandby),
		telemetry.Flag("shapebus_ingest_waiting", "1 while Postgres sends nothing because a standby has not received it.", s.Waiting != ""),
		telemetry.Gauge("shapebus_ingest_received_lsn", "LSN in bytes received from Postgres.", float64(s.Received)),
		telemetry.Gauge("shapebus_ingest_published_lsn", "LSN in bytes published to the change log.", float64(s.Published)),
		telemetry.Gauge("shapebus_ingest_acked_lsn", "LSN in bytes that JetStream has stored.", float64(s.Acked)),
		telemetry.Gauge("shapebus_ingest_confirmed_lsn", "LSN in bytes confirmed to Postgres, which may recycle WAL before it.", float64(s.Confirmed)),
		telemetry.Gauge("shapebus_ingest_in_flight_messages", "Messages published and not yet acknowledged.", float64(s.InFlight)),
		telemetry.Gauge("shapebus_ingest_read_age_seconds", "Time since anything came from Postgres, which says something every few seconds; -1 if nothing did.", health.Age(s.Heard)),
		telemetry.Gauge("shapebus_ingest_appended_age_seconds", "Time since something was published to the change log; -1 if nothing was.", health.Age(s.PublishedAt)),
		telemetry.Gauge("shapebus_ingest_acked_age_seconds", "Time since JetStream acknowledged something; -1 if it did nothing.", health.Age(s.AckedAt)),
		telemetry.GaugeBy("shapebus_ingest_slot_wal_status", "1 for what Postgres says of the slot's WAL: reserved, extended, unreserved or lost.", "status", walStatus(s.SlotWAL)),
		telemetry.Gauge("shapebus_ingest_slot_retained_bytes", "WAL in bytes that Postgres keeps for the slot; -1 while that is not known, or the slot is lost.", float64(s.SlotRetained)),
		telemetry.Gauge("shapebus_ingest_slot_safe_bytes", "WAL in bytes that may be written before the slot is in danger of being lost; -1 without a limit.", float64(s.SlotSafe)),
		telemetry.Counter("shapebus_ingest_transactions_total", "Transactions received.", s.Transactions),
		telemetry.Counter("shapebus_ingest_rows_total", "Row changes published.", s.Rows),
		telemetry.Counter("shapebus_ingest_fragments_total", "Fragments published.", s.Fragments),
		telemetry.Counter("shapebus_ingest_messages_total", "Messages published.", s.Messages),
		telemetry.Counter("shapebus_ingest_bytes_total", "Bytes of message bodies published.", s.Bytes),
		telemetry.Counter("shapebus_ingest_retries_total", "Sessions that ended with trouble and were started again.", s.Retries),
	}
}

// materializerMetrics are a materializer's figures under their names.
func materializerMetrics(s materializer.Status) []telemetry.Metric {
	return []telemetry.Metric{
		telemetry.Gauge("shapebus_materializer_partitions", "Partitions that this materializer owns.", float64(s.Partitions)),
		telemetry.Counter("shapebus_materializer_partition_moves_total", "Partitions taken from others or free, and handed over to others.", s.Moves),
		telemetry.Gauge("shapebus_materializer_sets_live", "Value sets that are followed.", float64(s.Live)),
		telemetry.Gauge("shapebus_materializer_sets_parked", "Value sets that are being built, or whose shape has no log yet.", float64(s.Parked)),
		telemetry.Gauge("shapebus_materializer_values", "Distinct values held.", float64(s.Values)),
		telemetry.Gauge("shapebus_materializer_read_age_seconds", "Time since a shape log's message was read; -1 if none was.", health.Age(s.HeardAt)),
		telemetry.Gauge("shapebus_materializer_appended_age_seconds", "Time since a verdict was published; -1 if none was.", health.Age(s.WroteAt)),
		telemetry.Gauge("shapebus_materializer_unread_messages", "Shape log messages of the owned partitions not read yet.", float64(s.Unread)),
		telemetry.Counter("shapebus_materializer_messages_total", "Shape log messages read.", s.Messages),
		telemetry.Counter("shapebus_materializer_verdicts_total", "Verdicts published.", s.Verdicts),
		telemetry.Counter("shapebus_materializer_bases_total", "Bases written.", s.Bases),
		telemetry.Counter("shapebus_materializer_bytes_total", "Bytes of verdicts and bases published.", s.Bytes),
		telemetry.Counter("shapebus_materializer_inconsistent_changes_total", "Row changes that did not fit the rows known; a sign of a damaged log.", s.Inconsistent),
		telemetry.Counter("shapebus_materializer_retries_total", "Sessions and value sets that ended in an error and were begun again.", s.Retries),
	}
}

// gatewayMetrics are a gateway's figures under their names.
func gatewayMetrics(s gateway.Status) []telemetry.Metric {
	return []telemetry.Metric{
		telemetry.Gauge("shapebus_gateway_shapes", "Shapes that are followed.", float64(s.Shapes)),
		telemetry.Gauge("shapebus_gateway_cache_bytes", "Memory that large answers are kept in.", float64(s.CacheBytes)),
		telemetry.Gauge("shapebus_gateway_polls", "Live requests that wait.", float64(s.Polls)),
		telemetry.Gauge("shapebus_gateway_streams", "Streams of server-sent events that are open.", float64(s.Streams)),
		telemetry.Counter("shapebus_gateway_requests_total", "Requests of shapes.", s.Requests),
		telemetry.Counter("shapebus_gateway_refused_total", "Requests that were answered with a status of 400 to 499, but for 409.", s.Refused),
		telemetry.Counter("shapebus_gateway_conflicts_total", "Requests that were answered with 409: the client begins again.", s.Conflicts),
		telemetry.Counter("shapebus_gateway_errors_total", "Requests that were answered with a status of 500 or more.", s.Errors),
		telemetry.Counter("shapebus_gateway_subsets_total", "Subset snapshots that were read from Postgres.", s.Subsets),
		telemetry.Counter("shapebus_gateway_sent_bytes_total", "Bytes of bodies that were sent.", s.Bytes),
		telemetry.Counter("shapebus_gateway_dropped_total", "Clients that took nothing for too long, or went in the middle of an answer.", s.Dropped),
	}
}

// walStatus is what Postgres says of the slot's WAL, if it is known, as a figure.
func walStatus(status string) map[string]int64 {
	if status == "" {
		return nil
	}
	return map[string]int64{status: 1}
}
