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
	// It ends with its context. Stop would wait for the server to forget it, for five seconds if that has no leader now.
	quiet := time.NewTimer(watchSilence)
	defer quiet.Stop()
	for loaded := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-quiet.C:
			return errors.New("nothing has come for too long")
		case e, ok := <-w.Updates():
			if ctx.Err() != nil {
				return nil
			}
			if !ok {
				return errors.New("the subscription ended")
			}
			f(e)
			switch loaded = loaded || e == nil; {
			case !loaded:
				quiet.Reset(watchSilence)
			case silence > 0:
				quiet.Reset(silence)
			default:
				quiet.Stop()
			}
		}
	}
}
