package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Members is the bucket of the processes that are there, each under the role
// that it shares with others. Safe for concurrent use.
type Members struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	bucket string
}

// OpenMembers opens the source's bucket, which must exist.
func OpenMembers(ctx context.Context, js jetstream.JetStream, source topology.Source) (*Members, error) {
	kv, err := js.KeyValue(ctx, source.MemberBucket())
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", source.MemberBucket(), err)
	}
	return &Members{js: js, kv: kv, bucket: source.MemberBucket()}, nil
}

// Hold announces a process until ctx ends, then withdraws it and returns nil.
// It returns an error when others may not have seen it for topology.MemberTTL.
// joined is called once, when the announcement is stored.
func (m *Members) Hold(ctx context.Context, role, name string, joined func()) error {
	key := topology.MemberKey(role, name)
	t := time.NewTicker(topology.MemberTTL / 4)
	defer t.Stop()
	if err := m.announce(ctx, key, name); err != nil {
		return fmt.Errorf("announce %s: %w", key, topology.Explain(err))
	}
	joined()
	said := time.Now()
	for {
		select {
		case <-ctx.Done():
			leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := m.kv.Delete(leaving, key); err != nil {
				return fmt.Errorf("withdraw %s: %w", key, err)
			}
			return nil
		case <-t.C:
		}
		switch err := m.announce(ctx, key, name); {
		case err == nil:
			said = time.Now()
		case ctx.Err() == nil && time.Since(said) > topology.MemberTTL*3/4:
			return fmt.Errorf("announce %s: %w", key, topology.Explain(err))
		}
	}
}

// announce publishes on the key's subject, as KeyValue.Put would leave out the TTL.
func (m *Members) announce(ctx context.Context, key, name string) error {
	ctx, cancel := context.WithTimeout(ctx, topology.MemberTTL/4)
	defer cancel()
	_, err := m.js.Publish(ctx, "$KV."+m.bucket+"."+key, []byte(name), jetstream.WithMsgTTL(topology.MemberTTL))
	return err
}

// Watch calls f with the names of a role's members, in order, at the start and
// after every change, until ctx ends. The caller is one of them, under name, with Hold: if its own
// announcements do not come, Watch returns an error.
//
// The server drops the announcement of one that is gone. A server that lost its latest writes may not
// know any more that it has to, so whoever does not announce itself while the caller does so silentBeats times is
// gone, too.
func (m *Members) Watch(ctx context.Context, role, name string, f func(names []string)) error {
	own := topology.MemberKey(role, name)
	present := map[string]member{}
	var told []string
	loaded, beat := false, 0
	err := watch(ctx, m.kv, role+".>", topology.MemberTTL, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			loaded = true
		case e.Operation() != jetstream.KeyValuePut:
			delete(present, e.Key())
		default:
			if e.Key() == own {
				beat++
			}
			present[e.Key()] = member{string(e.Value()), beat}
		}
		if !loaded {
			return
		}
		var names []string
		for _, p := range present {
			if beat-p.beat <= silentBeats {
				names = append(names, p.name)
			}
		}
		slices.Sort(names)
		if told == nil || !slices.Equal(names, told) {
			told = append([]string{}, names...)
			f(names)
		}
	})
	if err != nil {
		return fmt.Errorf("watch the members of role %s: %w", role, err)
	}
	return nil
}

// silentBeats is how often a member announces itself in one and a half of topology.MemberTTL.
const silentBeats = 6

// member is one that was heard of.
type member struct {
	name string
	beat int // of the watcher, when it was heard of last
}
