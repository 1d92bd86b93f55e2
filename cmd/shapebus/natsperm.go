package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/pkg/topology"
)

// userInfo is the server's answer to "what may I do?".
type userInfo struct {
	Data struct {
		User        string `json:"user"`
		Permissions *struct {
			Publish   grants `json:"publish"`
			Subscribe grants `json:"subscribe"`
		} `json:"permissions"`
	} `json:"data"`
}

// grants are the subjects that a user may use. No Allow means every subject.
type grants struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// permissionTimeout is short: a user without the right to ask gets no answer.
const permissionTimeout = 2 * time.Second

// checkPermissions compares the subjects that this user may use with those that the services and clients of a source need.
func checkPermissions(ctx context.Context, nc *nats.Conn, source topology.Source, inbox, prefix string) []preflight.Finding {
	const name = "permissions"
	ctx, cancel := context.WithTimeout(ctx, permissionTimeout)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "$SYS.REQ.USER.INFO", nil)
	var info userInfo
	if err == nil {
		err = json.Unmarshal(m.Data, &info)
	}
	if err != nil {
		return []preflight.Finding{warning(name, fmt.Sprintf("allow this user to publish on $SYS.REQ.USER.INFO and to subscribe to %s.>", inbox), "cannot be read: %v", err)}
	}
	if info.Data.Permissions == nil {
		return []preflight.Finding{okay(name, "every subject")}
	}
	publish, subscribe := neededSubjects(source, inbox, prefix)
	return []preflight.Finding{
		checkGrants("publish", info.Data.Permissions.Publish, publish),
		checkGrants("subscribe", info.Data.Permissions.Subscribe, subscribe),
		checkInbox(info.Data.Permissions.Subscribe),
	}
}

// checkInbox warns of a user who reads the answers to all others.
func checkInbox(g grants) preflight.Finding {
	const name = "permissions: inbox"
	if checkGrants("subscribe", g, []string{allInboxes}).OK {
		return warning(name, "allow it to subscribe to a prefix of its own only, such as _INBOX.shapebus.>, and start with --nats-inbox-prefix _INBOX.shapebus",
			"this user may read the answers to all users of the account (%s)", allInboxes)
	}
	return okay(name, "this user cannot read the answers to others")
}

// allInboxes matches where the answers to all users come that have no prefix outside of it.
const allInboxes = "_INBOX.>"

// neededSubjects lists what the services publish and subscribe to. inbox is where the answers to them come, prefix what
// JetStream is asked with.
func neededSubjects(source topology.Source, inbox, prefix string) (publish, subscribe []string) {
	publish = []string{
		"sb." + string(source) + ".>", source.ControlPlane() + ".>", cmp.Or(strings.TrimSuffix(prefix, "."), "$JS.API") + ".>",
		"$KV." + source.ShapeBucket() + ".>", "$KV." + source.RelationBucket() + ".>", "$KV." + source.LeaseBucket() + ".>", "$KV." + source.MemberBucket() + ".>",
		"$JS.ACK.>", allInboxes,
	}
	return publish, []string{"sb." + string(source) + ".>", source.ControlPlane() + ".>", "$SRV.>", inbox + ".>"}
}

func checkGrants(verb string, g grants, needed []string) preflight.Finding {
	name := "permissions: " + verb
	var missing []string
	for _, subject := range needed {
		allowed := len(g.Allow) == 0 || slices.ContainsFunc(g.Allow, func(a string) bool { return covers(a, subject) })
		if !allowed || slices.ContainsFunc(g.Deny, func(d string) bool { return overlap(d, subject) }) {
			missing = append(missing, subject)
		}
	}
	if len(missing) == 0 {
		return okay(name, "everything that is needed")
	}
	return failure(name, fmt.Sprintf("allow this user to %s: %s", verb, strings.Join(missing, " ")),
		"not everything that the services need; see OPERATIONS.md for users that only read")
}

// covers reports whether the subject pattern a matches everything that b matches.
func covers(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i, token := range as {
		switch {
		case token == ">":
			return len(bs) > i
		case i >= len(bs) || bs[i] == ">", token != "*" && token != bs[i]:
			return false
		}
	}
	return len(as) == len(bs)
}

// overlap reports whether some subject matches both patterns.
func overlap(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; ; i++ {
		switch {
		case i == len(as) || i == len(bs):
			return len(as) == len(bs)
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != bs[i] && as[i] != "*" && bs[i] != "*":
			return false
		}
	}
}
