package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/topology"
)

// comfortablePayload is the size to which messages are packed; a smaller limit splits every one of them.
const comfortablePayload = 256 << 10

// leastPending is what a server has to hold for one connection, in its own words; a test of package flow has a server with that.
const leastPending = "32MB"

// checkNATS finds out whether the server is ready for a source of that many partitions, and whether the source is one of this
// database. It changes nothing.
func (c *checkCmd) checkNATS(ctx context.Context, nc *nats.Conn, source topology.Source, database pg.Database) []preflight.Finding {
	partitions, inbox := c.Partitions, c.NATS.InboxPrefix
	list := []preflight.Finding{checkServer(nc), checkPayload(nc.MaxPayload())}
	js, err := topology.JetStream(nc, c.NATS.APIPrefix)
	if err != nil {
		return append(list, failure("jetstream", "", "%v", err))
	}
	if err := topology.CheckWriterPrefix(c.NATS.APIPrefix); err != nil {
		list = append(list, warning("jetstream prefix", "connect the services to the account that holds the streams; only apps and the gateway may use this prefix", "%v", err))
	}
	domain, far := c.far(ctx, nc, js, source)
	if far {
		list = append(list, checkLeaf(nc, domain, c.Replicas))
	} else {
		list = append(list, checkReplicas(nc.ConnectedClusterName(), c.Replicas))
	}
	if shapes, err := registry.OpenShapes(ctx, js, source); err == nil {
		if rec, err := shapes.Source(ctx); err == nil {
			partitions = rec.Partitions // whatever was asked about
		}
	}
	account, err := js.AccountInfo(ctx)
	if err != nil {
		list = append(list, failure("jetstream", "start the server with --jetstream --store_dir DIR, or enable JetStream for this user's account", "%v", err))
	} else {
		where := ""
		if account.Domain != "" {
			where = " in domain " + account.Domain
		}
		list = append(list, okay("jetstream", "enabled%s, %s of files stored in this account", where, term.Size(int64(account.Store))))
		list = append(list, checkLimits(account.Limits, account.Streams, streamsToCome(ctx, js, source, partitions))...)
		if _, err := js.Stream(ctx, source.ChangeStream()); errors.Is(err, jetstream.ErrStreamNotFound) {
			list = append(list, checkReserve(account.Tier, int64(c.ChangeLogMaxBytes), c.Replicas)...)
		}
		list = append(list, checkFeeder(ctx, js, source, database))
	}
	list = append(list, checkPermissions(ctx, nc, source, inbox, c.NATS.APIPrefix)...)
	list = append(list, okay("max_pending", "not visible from here. %s is the least that works; the server's own 64MB is right, and 256MB for gateways with many clients (see OPERATIONS.md)", leastPending))
	return append(list, okay("sync_interval", "not visible from here. A server with default settings writes to disk every 2 minutes after acknowledging; "+
		"--sync-interval must be at least the server's sync_interval (see OPERATIONS.md)"))
}

// checkFeeder compares a database with the one that feeds the source.
func checkFeeder(ctx context.Context, js jetstream.JetStream, source topology.Source, database pg.Database) preflight.Finding {
	const name = "source"
	feeds, err := registry.Feeder(ctx, js, source)
	if err != nil {
		return warning(name, "", "%v", err)
	}
	if feeds == (pg.Database{}) {
		return okay(name, "no database feeds %s yet", source)
	}
	if err := feeds.Admit(database); err != nil {
		return failure(name, "give the URL of the database that feeds it, or another --source; shapebus source reset --yes has it begin again with this database, and its shapes end", "%v", err)
	}
	return okay(name, "%s is fed by this database", source)
}

// far reports whether JetStream is on other servers than those that this one is of a cluster with, behind a leaf node: the
// prefix says so, or the leader of a stream that is there. domain is theirs, as far as that is known.
func (c *checkCmd) far(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, source topology.Source) (domain string, far bool) {
	if account, err := js.AccountInfo(ctx); err == nil {
		domain = account.Domain
	}
	if c.NATS.APIPrefix != "" && c.NATS.APIPrefix != "$JS.API" {
		return domain, true
	}
	st, err := js.Stream(ctx, source.ChangeStream())
	if err != nil || st.CachedInfo().Cluster == nil {
		return domain, false
	}
	holds := st.CachedInfo().Cluster
	return domain, holds.Leader != "" && holds.Leader != nc.ConnectedServerName() && (holds.Name == "" || holds.Name != nc.ConnectedClusterName())
}

// checkLeaf says what cannot be seen through a leaf node.
func checkLeaf(nc *nats.Conn, domain string, replicas int) preflight.Finding {
	if domain == "" {
		domain = "another server or domain"
	} else {
		domain = "domain " + domain
	}
	return warning("leaf node", fmt.Sprintf("give check the address of a server that holds the streams, or look there yourself: every server NATS %d.%d or later, max_payload no less than here, as many servers as --replicas (%d)",
		topology.MinServerMajor, topology.MinServerMinor, replicas),
		"JetStream is in %s, behind %s: version, max_payload and distance are those of %s, and what the servers that hold the streams are cannot be seen from here",
		domain, nc.ConnectedServerName(), nc.ConnectedServerName())
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

// streamsOf are the streams that a source has, those of its buckets among them.
func streamsOf(source topology.Source, partitions int) []string {
	names := []string{source.ChangeStream()}
	for _, bucket := range []string{source.ShapeBucket(), source.RelationBucket(), source.LeaseBucket(), source.MemberBucket()} {
		names = append(names, "KV_"+bucket)
	}
	for p := range partitions {
		names = append(names, source.ShapeStream(p), source.VerdictStream(p))
	}
	return names
}

// streamsToCome is how many of the source's streams and buckets do not exist yet.
func streamsToCome(ctx context.Context, js jetstream.JetStream, source topology.Source, partitions int) int {
	missing := 0
	for _, name := range streamsOf(source, partitions) {
		if _, err := js.Stream(ctx, name); err != nil {
			missing++
		}
	}
	return missing
}

// checkReplicas compares the copies wanted with the server, which is alone if it is of no cluster.
func checkReplicas(cluster string, replicas int) preflight.Finding {
	const name = "replicas"
	switch {
	case cluster == "" && replicas > 1:
		return failure(name, "start the services with --replicas 1, or run a cluster", "%d copies are asked for, and this server is alone", replicas)
	case cluster != "" && replicas == 1:
		return warning(name, "start the services, and check, with --replicas 3", "one copy in cluster %s: when the server that holds a stream is down, so is the stream", cluster)
	case cluster == "":
		return okay(name, "one copy on a single server: what is stored is as safe as its disk")
	}
	return okay(name, "%d copies in cluster %s", replicas, cluster)
}

// checkReserve finds out whether the account has the room that the change log reserves. A limit of 0 or less is none, or has been
// told of.
func checkReserve(tier jetstream.Tier, bytes int64, replicas int) []preflight.Finding {
	const name = "account: change log"
	limit, need := tier.Limits.MaxStore, bytes*int64(max(replicas, 1))
	if limit <= 0 {
		return nil
	}
	free := limit - int64(max(tier.Store, tier.ReservedStore))
	if bytes > 0 && need > free {
		return []preflight.Finding{failure(name, "give ingest and check a smaller --change-log-max-bytes, or raise the account's storage",
			"the change log reserves %s, and the account has %s of %s left", term.Size(need), term.Size(max(free, 0)), term.Size(limit))}
	}
	return []preflight.Finding{okay(name, "reserves %s of %s that are left", term.Size(max(need, 0)), term.Size(free))}
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
		list = append(list, okay("account: storage", "up to %s", term.Size(limits.MaxStore)))
	}
	if limits.MaxBytesRequired {
		list = append(list, failure("account: max_bytes", "lift the account's rule (max_bytes_required)",
			"the account wants every stream to have a size limit, and buckets have none"))
	}
	return list
}
