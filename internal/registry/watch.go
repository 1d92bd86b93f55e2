package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// watchSilence is how long a server may keep a watcher waiting for the entries that are there: the
// client library waits for ever for an answer that a lost connection took with it.
var watchSilence = 30 * time.Second

// watch calls f with the entries of a bucket whose keys match, with nil once all that existed have
// come, and then with every change, until ctx ends; then it returns nil. It returns an error when
// nothing has come for watchSilence before that nil, and for silence after it; 0 is for ever.
func watch(ctx context.Context, kv jetstream.KeyValue, keys string, silence time.Duration, f func(jetstream.KeyValueEntry), options ...jetstream.WatchOpt) error {
	all, before := keys == jetstream.AllKeys, uint64(0)
	if all {
		last, err := lastRevision(ctx, kv)
		if err != nil {
			return err
		}
		before = last
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(watchSilence, cancel)
	w, err := kv.Watch(watching, keys, options...)
	switch {
	case ctx.Err() != nil:
		return nil
	case !late.Stop():
		return fmt.Errorf("the server has not answered for %s", watchSilence)
	case err != nil:
		return err
	}
	// What is stored while a listing goes on is not where it was when that began, and comes behind all that was there. So a listing of
	// all, if something has been stored meanwhile, goes on to where the bucket ended when what was there had come. Where a part is
	// watched nobody relies on that: a member is heard again, and who holds a lease is asked when it is taken.
	var revision, until uint64
	// It ends with its context. Stop would wait for the server to forget it, for five seconds if that has no leader now.
	quiet := time.NewTimer(watchSilence)
	defer quiet.Stop()
	for listed, loaded := false, false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-quiet.C:
			if loaded || !listed {
				return errors.New("nothing has come for too long")
			}
			loaded = true // what the bucket ended with is not there any more
			f(nil)
			rest(quiet, silence)
		case e, ok := <-w.Updates():
			if ctx.Err() != nil {
				return nil
			}
			if !ok {
				return errors.New("the subscription ended")
			}
			switch {
			case e != nil:
				f(e)
				revision = e.Revision()
			case all && !listed:
				last, err := lastRevision(ctx, kv)
				if err != nil {
					return err
				}
				if last > before {
					until = last
				}
			}
			switch listed = listed || e == nil; {
			case !listed:
				quiet.Reset(watchSilence)
			case !loaded && revision < until:
				quiet.Reset(listingSilence)
			default:
				if !loaded {
					loaded = true
					f(nil)
				}
				rest(quiet, silence)
			}
		}
	}
}

// listingSilence is how long the end of a bucket is waited for, which a listing comes to at once unless its last entry has gone.
const listingSilence = time.Second

// rest waits for what comes after the listing.
func rest(quiet *time.Timer, silence time.Duration) {
	if silence > 0 {
		quiet.Reset(silence)
	} else {
		quiet.Stop()
	}
}

// lastRevision is the revision of what has been stored in a bucket last.
func lastRevision(ctx context.Context, kv jetstream.KeyValue) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, watchSilence)
	defer cancel()
	s, err := kv.Status(ctx)
	if err != nil {
		return 0, err
	}
	bucket, ok := s.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return 0, fmt.Errorf("the status of bucket %s tells no last revision", s.Bucket())
	}
	return bucket.StreamInfo().State.LastSeq, nil
}
