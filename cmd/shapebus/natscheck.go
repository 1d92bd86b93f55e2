package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/topology"
)

// comfortablePayload is the size to which messages are packed; a smaller limit splits every one of them.
const comfortablePayload = 256 << 10

// checkNATS finds out whether the server is ready for a source of that many partitions. It changes nothing.
func checkNATS(ctx context.Context, nc *nats.Conn, source topology.Source, partitions int) []preflight.Finding {
	list := []preflight.Finding{checkServer(nc), checkPayload(nc.MaxPayload())}
	js, err := jetstream.New(nc)
	if err != nil {
		return append(list, failure("jetstream", "", "%v", err))
	}
	account, err := js.AccountInfo(ctx)
	if err != nil {
		list = append(list, failure("jetstream", "start the server with --jetstream --store_dir DIR, or enable JetStream for this user's account", "%v", err))
	} else {
		list = append(list, okay("jetstream", "enabled, %s of files stored in this account", term.Size(int64(account.Store))))
		list = append(list, checkLimits(account.Limits, account.Streams, streamsToCome(ctx, js, source, partitions))...)
	}
	list = append(list, checkPermissions(ctx, nc, source)...)
	return append(list, okay("sync_interval", "not visible from here. A server with default settings writes to disk every 2 minutes after acknowledging; "+
		"--sync-interval must be at least the server's sync_interval (see OPERATIONS.md)"))
}

func checkServer(nc *nats.Conn) preflight.Finding {
	const name = "server"
	version := nc.ConnectedServerVersion()
	if f, ok := checkVersion(name, nc.ConnectedServerName(), version); !ok {
		return f
	}
	rtt, err := nc.RTT()
	if err != nil {
		return failure(name, "check the network", "no answer from %s: %v", nc.ConnectedServerName(), err)
	}
	return okay(name, "NATS %s, %s away", version, rtt.Round(10*time.Microsecond))
}

// checkVersion finds fault with a server's version; ok is true if there is none.
func checkVersion(name, server, version string) (f preflight.Finding, ok bool) {
	if _, _, ok := topology.ServerVersion(version); !ok {
		return warning(name, "", "%s runs version %q, which cannot be compared", server, version), false
	}
	if topology.OldServer(version) {
		return failure(name, fmt.Sprintf("upgrade every server of the cluster to NATS %d.%d or later", topology.MinServerMajor, topology.MinServerMinor),
			"NATS %s is too old: it has no atomic batches, which keep late writers out", version), false
	}
	return preflight.Finding{}, true
}

func checkPayload(limit int64) preflight.Finding {
	const name = "max_payload"
	if limit < comfortablePayload {
		return warning(name, "set max_payload: 1MB in the server's configuration",
			"%s: messages are packed to %s, so each will be split", term.Size(limit), term.Size(comfortablePayload))
	}
	return okay(name, "%s; larger rows are split", term.Size(limit))
}

// streamsToCome is how many of the source's streams and buckets do not exist yet.
func streamsToCome(ctx context.Context, js jetstream.JetStream, source topology.Source, partitions int) int {
	names := []string{source.ChangeStream(), "KV_" + source.ShapeBucket(), "KV_" + source.RelationBucket(), "KV_" + source.LeaseBucket()}
	for p := range partitions {
		names = append(names, source.ShapeStream(p))
	}
	missing := 0
	for _, name := range names {
		if _, err := js.Stream(ctx, name); err != nil {
			missing++
		}
	}
	return missing
}

// checkLimits compares the account's limits with what is still to be created. -1 and 0 mean no limit.
func checkLimits(limits jetstream.AccountLimits, have, toCome int) []preflight.Finding {
	var list []preflight.Finding
	switch free := limits.MaxStreams - have; {
	case limits.MaxStreams > 0 && free < toCome:
		list = append(list, failure("account: streams", fmt.Sprintf("raise the account's limit of streams to at least %d", have+toCome),
			"%d of %d streams are in use, and this source still needs %d", have, limits.MaxStreams, toCome))
	case limits.MaxStreams > 0:
		list = append(list, okay("account: streams", "%d of %d in use, this source still needs %d", have, limits.MaxStreams, toCome))
	default:
		list = append(list, okay("account: streams", "no limit; this source still needs %d", toCome))
	}
	switch {
	case limits.MaxStore == 0:
		list = append(list, failure("account: storage", "give the account file storage", "the account may not store files"))
	case limits.MaxStore > 0:
		list = append(list, okay("account: storage", "up to %s; the change log alone takes --change-log-max-bytes", term.Size(limits.MaxStore)))
	}
	if limits.MaxBytesRequired {
		list = append(list, failure("account: max_bytes", "give --shape-log-max-bytes to consumer, or lift the account's rule",
			"the account wants every stream to have a size limit, and shape logs and buckets have none by default"))
	}
	return list
}
