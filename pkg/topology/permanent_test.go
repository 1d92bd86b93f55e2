package topology_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestRefusalsComeWithTheirCures(t *testing.T) {
	for code, cure := range map[jetstream.ErrorCode]string{
		10005: "--replicas", 10026: "max_consumers", 10027: "raise its limit", 10047: "--change-log-max-bytes", 10074: "--replicas 1", 10113: "max_bytes_required",
	} {
		api := &jetstream.APIError{ErrorCode: code, Description: "no"}
		err := topology.Explain(fmt.Errorf("create stream S: %w", api))
		if topology.Permanent(err) == nil || !strings.Contains(err.Error(), cure) || !errors.Is(err, api) {
			t.Errorf("%d: %v; want a permanent error with %q", code, err, cure)
		}
	}
	for _, code := range []jetstream.ErrorCode{10077, 10023, 10002} {
		if err := topology.Explain(&jetstream.APIError{ErrorCode: code}); topology.Permanent(err) != nil {
			t.Errorf("%d ends by itself, and is permanent: %v", code, err)
		}
	}
}

// TestWhatAnAccountDoesNotAllowIsSaidWithItsCure makes a source's streams in accounts that are too narrow for them, on real
// servers.
func TestWhatAnAccountDoesNotAllowIsSaidWithItsCure(t *testing.T) {
	skipIfShort(t)
	for _, c := range []struct{ name, server, account, cure string }{
		{"less storage than the change log reserves", "", "max_mem: 1GB, max_file: 1GB", "--change-log-max-bytes"},
		{"a server with less", "max_file_store: 1GB", "", "--change-log-max-bytes"},
		{"streams in memory only", "", "max_mem: 1GB, max_file: 0", "file storage"},
		{"too few streams", "", "max_mem: 1GB, max_file: 20GB, max_streams: 3", "raise its limit"},
		{"streams must have a size", "", "max_mem: 1GB, max_file: 20GB, max_bytes_required: true", "max_bytes_required"},
		{"small streams only", "", "max_mem: 1GB, max_file: 20GB, disk_max_stream_bytes: 1MB", "--change-log-max-bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			account := "enabled"
			if c.account != "" {
				account = "{ " + c.account + " }"
			}
			srv := natstest.StartConfigured(t, "jetstream { "+c.server+" }, accounts { a { jetstream: "+account+", users: [{ user: u, password: p }] } }, no_auth_user: u")
			nc, err := srv.Connect()
			ok(t, err)
			t.Cleanup(nc.Close)
			js, err := jetstream.New(nc)
			ok(t, err)
			err = ensureAll(within(t), js, topology.ChangeLogConfig{}, topology.ShapeLogConfig{})
			if topology.Permanent(err) == nil || !strings.Contains(err.Error(), c.cure) {
				t.Errorf("%v; want a permanent error with %q", err, c.cure)
			}
		})
	}
}
