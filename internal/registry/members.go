package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Member is a process that shares work with others.
type Member struct {
	Name        string // by which people find it
	Incarnation string // that no other process, and no earlier start of this one, has
	Leaving     bool   // it gives back what it has and takes nothing more
}

// NewMember makes a member that no other equals.
func NewMember(name string) Member { return Member{Name: name, Incarnation: rand.Text()} }

// Is reports whether two values speak of the same process.
func (m Member) Is(o Member) bool { return m.Name == o.Name && m.Incarnation == o.Incarnation }

const leaving = "leaving"

// text is the form in which a member is stored: its name, its incarnation, and whether it leaves, with spaces between.
func (m Member) text() string {
	text := m.Name + " " + m.Incarnation
	if m.Leaving {
		text += " " + leaving
	}
	return text
}

// parseMember reads what text returned. A name may have spaces.
func parseMember(text string) (m Member, ok bool) {
	text, m.Leaving = strings.CutSuffix(text, " "+leaving)
	i := strings.LastIndexByte(text, ' ')
	if i < 1 || i == len(text)-1 {
		return Member{}, false
	}
	m.Name, m.Incarnation = text[:i], text[i+1:]
	return m, true
}

// Members is the bucket of the processes that are there, each under the role
// that it shares with others. Safe for concurrent use.
type Members struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	bucket string
}

// OpenMembers opens the source's bucket, which must exist.
func OpenMembers(ctx context.Context, js jetstream.JetStream, source topology.Source) (*Members, error) {
	kv, err := open(ctx, js, source.MemberBucket())
	if err != nil {
		return nil, err
	}
	return &Members{js: js, kv: kv, bucket: source.MemberBucket()}, nil
}

// Hold announces a process until ctx ends, then withdraws it and returns nil. From when leave is closed
// it is announced as one that leaves. It returns an error when others may not have seen it for topology.MemberTTL.
// joined is called once, when the announcement is stored.
func (m *Members) Hold(ctx context.Context, role string, me Member, leave <-chan struct{}, joined func()) error {
	key := topology.MemberKey(role, me.Name)
	t := time.NewTicker(topology.MemberTTL / 4)
	defer t.Stop()
	if err := m.announce(ctx, key, me); err != nil {
		return fmt.Errorf("announce %s: %w", key, topology.Explain(err))
	}
	joined()
	said := time.Now()
	for {
		select {
		case <-ctx.Done():
			withdrawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := m.kv.Purge(withdrawing, key, jetstream.PurgeTTL(topology.MemberTTL)); err != nil {
				return fmt.Errorf("withdraw %s: %w", key, err)
			}
			return nil
		case <-leave:
			me.Leaving, leave = true, nil
		case <-t.C:
		}
		switch err := m.announce(ctx, key, me); {
		case err == nil:
			said = time.Now()
		case ctx.Err() == nil && time.Since(said) > topology.MemberTTL*3/4:
			return fmt.Errorf("announce %s: %w", key, topology.Explain(err))
		}
	}
}

// announce publishes on the key's subject, as KeyValue.Put would leave out the TTL.
func (m *Members) announce(ctx context.Context, key string, me Member) error {
	ctx, cancel := context.WithTimeout(ctx, topology.MemberTTL/4)
	defer cancel()
	_, err := m.js.Publish(ctx, topology.KeySubject(m.js, m.bucket, key), []byte(me.text()), jetstream.WithMsgTTL(topology.MemberTTL))
	return err
}

// Dismiss withdraws a member that is known to be gone, unless it has announced itself meanwhile as another
// incarnation. One that is there after all announces itself again.
func (m *Members) Dismiss(ctx context.Context, role string, gone Member) error {
	key := topology.MemberKey(role, gone.Name)
	e, err := m.kv.Get(ctx, key)
	if err == nil {
		if now, ok := parseMember(string(e.Value())); ok && !now.Is(gone) {
			return nil
		}
		err = m.kv.Purge(ctx, key, jetstream.LastRevision(e.Revision()), jetstream.PurgeTTL(topology.MemberTTL))
	}
	if errors.Is(err, jetstream.ErrKeyNotFound) || conflicts(err) {
		return nil
	}
	return err
}

// Watch calls f with a role's members, ordered by name, at the start and
// after every change, until ctx ends. The caller is one of them, with Hold: if its own
// announcements do not come, Watch returns an error.
//
// The server drops the announcement of one that is gone. A server that lost its latest writes may not
// know any more that it has to, so whoever does not announce itself while the caller does so silentBeats times is
// gone, too.
func (m *Members) Watch(ctx context.Context, role string, me Member, f func([]Member)) error {
	own := topology.MemberKey(role, me.Name)
	present := map[string]heard{}
	var told []Member
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
			if who, ok := parseMember(string(e.Value())); ok {
				present[e.Key()] = heard{who, beat}
			}
		}
		if !loaded {
			return
		}
		var members []Member
		for _, p := range present {
			if beat-p.beat <= silentBeats {
				members = append(members, p.member)
			}
		}
		slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		if told == nil || !slices.Equal(members, told) {
			told = append([]Member{}, members...)
			f(members)
		}
	})
	if err != nil {
		return fmt.Errorf("watch the members of role %s: %w", role, err)
	}
	return nil
}

// silentBeats is how often a member announces itself in one and a half of topology.MemberTTL.
const silentBeats = 6

// heard is a member that was heard of.
type heard struct {
	member Member
	beat   int // of the watcher, when it was heard of last
}
