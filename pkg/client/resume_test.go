package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

func TestAViewOutlivesTheContextOfItsRequest(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	l := b.newLog(columns, true)
	l.snapshot(1, []string{"1", "a", "x"})
	l.write()
	b.create = func(control.CreateRequest) (control.Shape, error) { return l.info, nil }
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	v, err := b.client.Watch(ctx, client.Definition{Table: "things"}, client.ViewOptions{})
	cancel()
	ok(t, err)
	defer v.Close()
	l.insert(100)
	until(t, v, at(100, 2))
}

// kept is a snapshot as it comes out of a file.
func kept(t *testing.T, s client.Snapshot) *client.Snapshot {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	ok(t, err)
	if n != int64(b.Len()) {
		t.Errorf("%d bytes are written, it says %d", b.Len(), n)
	}
	for cut := range b.Len() {
		if _, err := client.ReadSnapshot(bytes.NewReader(b.Bytes()[:cut])); err == nil {
			t.Fatalf("its first %d bytes of %d are taken for all of it", cut, b.Len())
		}
	}
	for i := range b.Len() {
		b.Bytes()[i] ^= 4
		if _, err := client.ReadSnapshot(bytes.NewReader(b.Bytes())); err == nil {
			t.Fatalf("byte %d is wrong and nobody notices", i)
		}
		b.Bytes()[i] ^= 4
	}
	back, err := client.ReadSnapshot(&b)
	ok(t, err)
	if back.Position != s.Position || back.LSN != s.LSN || rowsText(*back) != rowsText(s) {
		t.Fatalf("kept were %s at %s, read are %s at %s", rowsText(s), s.Position, rowsText(*back), back.Position)
	}
	return back
}

func TestAViewGoesOnFromAKeptSnapshot(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	for _, key := range []bool{true, false} {
		t.Run(fmt.Sprintf("of a table with a key: %t", key), func(t *testing.T) {
			cols := columns
			if !key {
				cols = []control.Column{{Name: "id", Key: true}, {Name: "note", Key: true}, {Name: "part", Key: true}}
			}
			l := b.newLog(cols, key)
			l.snapshot(1, []string{"1", "a", "x"}, []string{"2", null, ""}, []string{"3", "", "x"})
			l.write()
			l.insert(100)
			v := l.open().View(client.ViewOptions{})
			s := kept(t, until(t, v, at(100, 2)))
			v.Close()
			l.insert(200)

			// Nothing of what came before is read again: it is not there any more.
			st, err := b.js.Stream(t.Context(), source.ShapeStream(0))
			ok(t, err)
			ok(t, st.Purge(t.Context(), jetstream.WithPurgeSubject(source.SegmentSubjects(0, l.info.Handle))))
			v = l.open().View(client.ViewOptions{From: s})
			defer v.Close()
			now, err := v.Snapshot()
			ok(t, err) // at once
			if now.Position.Handle != l.info.Handle || len(now.Rows) < 4 {
				t.Errorf("begins with %s", rowsText(now))
			}
			l.op(300, 0, change.Delete, map[bool][]string{true: {"2", ""}, false: {"2", null, ""}}[key]...)
			l.commit(300, 2)
			l.write()
			now = until(t, v, at(300, 2))
			if got := rowsText(now); got != "id=1,note=a,part=x id=100,note=v,part=x id=200,note=v,part=x id=3,note=,part=x" || v.Len() != 4 {
				t.Errorf("%d rows: %s", v.Len(), got)
			}
			if r, err := v.Get(key3(key)...); err != nil || r.Len() != 3 {
				t.Errorf("by its key: %v", err)
			}
		})
	}
	t.Run("of a life that is over", func(t *testing.T) {
		before, now := b.newLog(columns, true), b.newLog(columns, true)
		before.snapshot(1, []string{"1", "a", "x"})
		before.write()
		v := before.open().View(client.ViewOptions{})
		s := kept(t, until(t, v, at(0, 0)))
		v.Close()

		one := now.open().View(client.ViewOptions{From: s})
		mustRefetch(t, ends(t, one), "handle")

		b.mu.Lock()
		b.create = func(control.CreateRequest) (control.Shape, error) { return now.info, nil }
		b.mu.Unlock()
		again, err := b.client.Watch(t.Context(), client.Definition{Table: "things"}, client.ViewOptions{From: s})
		ok(t, err)
		defer again.Close()
		old, err := again.Snapshot()
		ok(t, err)
		if !old.Ended || old.Position != s.Position || len(old.Rows) != 1 {
			t.Errorf("meanwhile it shows %s, ended %t", rowsText(old), old.Ended)
		}
		now.snapshot(1, []string{"7", "a", "x"})
		now.write()
		if got := until(t, again, func(s client.Snapshot) bool { return !s.Ended }); rowsText(got) != "id=7,note=a,part=x" {
			t.Errorf("then it shows %s", rowsText(got))
		}
	})
	t.Run("that was made by hand is no file", func(t *testing.T) {
		if _, err := (client.Snapshot{}).WriteTo(&bytes.Buffer{}); err == nil {
			t.Error("it is written")
		}
		if _, err := client.ReadSnapshot(bytes.NewReader(nil)); err == nil || errors.Is(err, client.ErrNoRow) {
			t.Errorf("nothing is read as %v", err)
		}
	})
}

func key3(hasKey bool) []any {
	if hasKey {
		return []any{3, "x"}
	}
	return []any{3, "", "x"}
}
