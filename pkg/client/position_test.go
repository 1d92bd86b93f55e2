package client_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

func TestPositionText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := client.Position{
			Handle: rapid.StringMatching(`[0-9a-f]{16}-[0-9a-z]{1,12}`).Draw(t, "handle"),
			Offset: client.Offset{LSN: client.LSN(rapid.Uint64().Draw(t, "lsn")), Op: rapid.Uint64().Draw(t, "op")},
		}
		if rapid.IntRange(0, 9).Draw(t, "beginning") == 0 {
			p = client.Beginning()
		}
		got, err := client.ParsePosition(p.String())
		if err != nil || got != p {
			t.Fatalf("%s is read as %s, %v", p, got, err)
		}
		var same client.Position
		if err := same.UnmarshalText([]byte(p.String())); err != nil || same != p {
			t.Fatalf("%s is read as %s, %v", p, same, err)
		}
		if o, err := client.ParseOffset(p.Offset.String()); err != nil || o != p.Offset {
			t.Fatalf("%s is read as %s, %v", p.Offset, o, err)
		}
		data, err := json.Marshal(map[string]client.Position{"at": p})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]client.Position
		if err := json.Unmarshal(data, &back); err != nil || back["at"] != p {
			t.Fatalf("%s is read as %s, %v", data, back["at"], err)
		}
	})
	for _, s := range []string{"", "26800584_4", "@1_2", "h@", "h@1", "h@1_2_3", "h h@1_2", "h@1_2\n", "h>@1_2", "Beginning", "h@-1_2"} {
		if p, err := client.ParsePosition(s); err == nil {
			t.Errorf("%q is read as %s", s, p)
		}
	}
}

// An app that kept a position and finds another incarnation of the shape would lose the snapshot, in
// silence, if the offset were taken for one of that incarnation.
func TestPositionOfAnotherHandleIsRefused(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	before, now := b.newLog(columns, true), b.newLog(columns, true)
	for _, l := range []*shapeLog{before, now} {
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		l.insert(100)
		l.insert(200)
	}
	kept := before.after(change.Offset{LSN: 100, Op: 2})
	opts := client.Options{Recheck: 20 * time.Millisecond}
	if got := backlog(t, before.open(), kept, opts); len(got) != 3 {
		t.Errorf("its own shape gives %q", got)
	}
	for _, from := range []client.Position{kept, {Offset: kept.Offset}, before.after(change.Offset{})} {
		lines, failed, _ := tailing(t, now.open(), from, opts)
		if got := rest(t, lines); len(got) > 0 {
			t.Errorf("from %s of another handle comes %q", from, got)
		}
		mustRefetch(t, failure(t, failed), "handle")
	}
}

func TestCommitTellsItsPosition(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	l := b.newLog(columns, true)
	l.snapshot(1, []string{"1", "a", "x"})
	l.write()
	l.insert(100)
	sub := l.open().Subscribe(client.Beginning(), client.Options{})
	want := []client.Position{l.after(change.Offset{}), l.after(change.Offset{LSN: 100, Op: 2})}
	for e, err := range sub.Events(t.Context()) {
		ok(t, err)
		c, is := e.(client.Commit)
		if !is {
			continue
		}
		if c.Position() != want[0] || sub.Position() != want[0] {
			t.Errorf("the commit is at %s, the subscription at %s, want %s", c.Position(), sub.Position(), want[0])
		}
		if want = want[1:]; len(want) == 0 {
			break
		}
	}
}

func TestIsLive(t *testing.T) {
	for subject, want := range map[string]bool{source.LiveSubject(3, "h"): true, source.LogSubject(3, "h"): false, "sb.live": false, "orders.x.live.1.h": false} {
		if client.IsLive(subject) != want {
			t.Errorf("%s is live: %t", subject, !want)
		}
	}
}
