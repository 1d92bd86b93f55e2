package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// applied reads whole transactions as an app does, up to a commit.
func applied(t *testing.T, l *shapeLog, last change.Offset) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tx, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Transactions(ctx) {
		ok(t, err)
		lines = append(lines, text(tx.Begin))
		for c := range tx.Changes() {
			lines = append(lines, text(c))
		}
		commit, err := tx.Commit()
		if errors.Is(err, client.ErrAborted) {
			lines = append(lines, "aborted")
			continue
		}
		ok(t, err)
		lines = append(lines, text(commit))
		if commit.Offset == last {
			break
		}
	}
	return lines
}

func TestTransactions(t *testing.T) {
	b := newBench(t, natsembed.Options{})
	t.Run("hold what the events say, and what is taken back is an error", func(t *testing.T) {
		l := b.newLog(columns, true)
		outerLog(l)
		want := []string{
			"begin snapshot 2 rows", "0_0 insert id=1,note=a,part=x", "0_0 insert id=2,note=b,part=x", "commit snapshot 2",
			"begin 60 xid 0 at 60000", "commit 60_0 0",
			"begin 100 xid 1000 at 100000 unit", "100_0 upsert id=3,note=aborted,part=x", "100_2 discard id=1,part=x", "aborted",
			"begin 100 xid 1000 at 100000 unit", "100_0 upsert id=3,note=c,part=x", "120_2 upsert id=2,note=again,part=x", "120_4 discard id=9,part=x", "commit 120_6 3",
			"begin 120 xid 1100 at 120000", "120_8 insert id=4,note=late,part=x", "commit 120_10 1",
			"begin 120 xid 1150 at 120000", "commit 120_12 0",
			"begin 130 xid 1300 at 130000", "130_0 delete id=3,part=x", "commit 130_2 1",
		}
		if diff := cmp.Diff(want, applied(t, l, change.Offset{LSN: 130, Op: 2})); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("are passed over by who does not read them", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		for lsn := range uint64(4) {
			l.op(100+lsn, 0, change.Insert, fmt.Sprint(lsn), "v", "x")
			l.op(100+lsn, 2, change.Insert, fmt.Sprint(lsn), "v", "y")
			l.commit(100+lsn, 4)
		}
		l.write()
		sub := l.open().Subscribe(client.Beginning(), client.Options{})
		var old *client.Transaction
		for tx, err := range sub.Transactions(t.Context()) {
			ok(t, err)
			switch tx.LSN {
			case 101:
				for range tx.Changes() {
					break // one of two
				}
			case 102:
				commit, err := tx.Commit()
				ok(t, err)
				if commit.Changes != 2 || sub.Position() != commit.Position() {
					t.Errorf("%d changes at %s, the subscription is at %s", commit.Changes, commit.Position(), sub.Position())
				}
			case 103:
				old = tx
			}
			if tx.LSN == 103 {
				break
			}
		}
		if got := sub.Position().Offset; got != (change.Offset{LSN: 102, Op: 4}) {
			t.Errorf("left in a transaction behind 102, the subscription is at %s", got)
		}
		if _, err := old.Commit(); err == nil {
			t.Error("a transaction commits outside of its loop")
		}
	})
	t.Run("end with what ends the reading, which does not commit", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"}, []string{"2", "a", "x"})
		l.write()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		enough := errors.New("enough")
		var ended error
		for tx, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Transactions(ctx) {
			if err != nil {
				ended = err
				continue
			}
			if !tx.Snapshot {
				t.Error("another transaction")
			}
			cancel(enough)
			if _, err := tx.Commit(); err != nil && !errors.Is(err, enough) { // it may have been there before
				t.Errorf("got %v", err)
			}
		}
		if !errors.Is(ended, enough) {
			t.Errorf("ended with %v", ended)
		}
	})
	t.Run("leave no goroutine behind", func(t *testing.T) {
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		before := runtime.NumGoroutine()
		for range 20 {
			for _, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Transactions(t.Context()) {
				ok(t, err)
				break
			}
		}
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), before)
			}
		}
	})
}
