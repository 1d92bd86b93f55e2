package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
)

// ErrHeld says that somebody else has taken the lease meanwhile.
var ErrHeld = errors.New("somebody else holds the lease")

// Holding is a lease on a partition: the right to write what one role writes of it.
type Holding struct {
	Holder   Member // zero if nobody has it
	Revision uint64 // of its key; 0 if there has never been one
}

// Holdings are the leases of a role, one key for each partition. A lease lasts as long as its holder is a
// member of the role; it needs no renewal of its own. It keeps well-behaved processes apart; what keeps a
// process apart that was asleep while others took its lease is the expected sequence of its writes (see
// package stream). Safe for concurrent use.
type Holdings struct {
	kv   jetstream.KeyValue
	role string
}

// OpenHoldings opens the bucket of leases, which must exist.
func OpenHoldings(ctx context.Context, js jetstream.JetStream, source topology.Source, role string) (*Holdings, error) {
	kv, err := open(ctx, js, source.LeaseBucket())
	if err != nil {
		return nil, err
	}
	return &Holdings{kv: kv, role: role}, nil
}

// asking bounds a request about a lease.
const asking = 2 * time.Second

// Take stores that me holds a partition's lease, which was seen to be was. ErrHeld says that it is not so any more.
func (h *Holdings) Take(ctx context.Context, p int, me Member, was Holding) (Holding, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	key, value := topology.HoldingKey(h.role, p), []byte(me.text())
	if e, err := h.kv.Get(ctx, topology.OldLeaseKey(h.role, p)); err == nil {
		return Holding{}, fmt.Errorf("lease %s: a process of an older version, %s, has to be stopped first", key, e.Value())
	}
	var rev uint64
	var err error
	if was.Holder == (Member{}) {
		rev, err = h.kv.Create(ctx, key, value) // over a deleted key, too
	} else {
		rev, err = h.kv.Update(ctx, key, value, was.Revision)
	}
	if err == nil {
		return Holding{me, rev}, nil
	}
	// When an answer is lost, the key tells whether the request was stored.
	if e, readErr := h.kv.Get(ctx, key); readErr == nil && string(e.Value()) == string(value) {
		return Holding{me, e.Revision()}, nil
	}
	if errors.Is(err, jetstream.ErrKeyExists) || conflicts(err) {
		return Holding{}, fmt.Errorf("lease %s: %w", key, ErrHeld)
	}
	return Holding{}, fmt.Errorf("take lease %s: %w", key, topology.Explain(err))
}

// Verify returns nil only if the lease is still held as it was taken.
func (h *Holdings) Verify(ctx context.Context, p int, held Holding) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	key := topology.HoldingKey(h.role, p)
	e, err := h.kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), err == nil && string(e.Value()) != held.Holder.text():
		return fmt.Errorf("lease %s: %w", key, ErrHeld)
	case err != nil:
		return fmt.Errorf("read lease %s: %w", key, err)
	}
	return nil
}

// Give gives a lease back that is still held as it was taken; otherwise it does nothing.
func (h *Holdings) Give(ctx context.Context, p int, held Holding) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	key := topology.HoldingKey(h.role, p)
	err := h.kv.Delete(ctx, key, jetstream.LastRevision(held.Revision))
	if err != nil && !conflicts(err) {
		return fmt.Errorf("give back lease %s: %w", key, err)
	}
	return nil
}

// Watch calls f with every lease that somebody has or had, loaded once all have come, and then f with every change, until
// ctx ends; then it returns nil.
func (h *Holdings) Watch(ctx context.Context, f func(p int, now Holding), loaded func()) error {
	err := watch(ctx, h.kv, topology.HoldingKeys(h.role), 0, func(e jetstream.KeyValueEntry) {
		if e == nil {
			loaded()
			return
		}
		p, err := strconv.Atoi(e.Key()[strings.LastIndexByte(e.Key(), '.')+1:])
		if err != nil {
			return // not one of ours
		}
		now := Holding{Revision: e.Revision()}
		if e.Operation() == jetstream.KeyValuePut {
			// What is not understood was stored by nobody who is a member.
			if now.Holder, _ = parseMember(string(e.Value())); now.Holder == (Member{}) {
				now.Holder = Member{Name: cmp.Or(string(e.Value()), "nobody")} // not none: its key is there
			}
		}
		f(p, now)
	})
	if err != nil {
		return fmt.Errorf("watch the leases of role %s: %w", h.role, err)
	}
	return nil
}

// List returns who holds the leases of a role, by partition.
func (h *Holdings) List(ctx context.Context) (map[int]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	all := map[int]Member{}
	err := h.Watch(ctx, func(p int, now Holding) {
		delete(all, p)
		if now.Holder != (Member{}) {
			all[p] = now.Holder
		}
	}, cancel)
	return all, err
}

func conflicts(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
