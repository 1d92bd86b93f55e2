// Package intake takes requests in: they come as to any micro service of NATS, wait in a lane of their kind until somebody has
// time for them, and are counted when they are answered. What they ask for is none of its business.
package intake

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Service speaks the protocol of NATS micro services, which `nats micro` shows. The client library has one, too, but that
// counts a request as answered when its handler returns: ours return at once, as requests wait in queues. So this one counts
// what was answered, how long that took from when the request came, and what was refused.
type Service struct {
	nc        *nats.Conn
	info      micro.Info
	started   time.Time
	endpoints []*Endpoint
	subs      []*nats.Subscription
}

// Endpoint is a kind of request. Safe for concurrent use.
type Endpoint struct {
	Name   string // such as shape.create
	Lane   *Lane
	Handle func(context.Context, []byte) (any, error)
	About  map[string]string // for people who look at the service: the schemas

	mu    sync.Mutex
	stats micro.EndpointStats
}

// Answered counts a request that has had its answer; failed is the refusal, "" for none.
func (e *Endpoint) Answered(took time.Duration, failed string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.NumRequests++
	e.stats.ProcessingTime += took
	e.stats.AverageProcessingTime = e.stats.ProcessingTime / time.Duration(e.stats.NumRequests)
	if failed != "" {
		e.stats.NumErrors++
		e.stats.LastError = failed
	}
}

// now is what the endpoint has counted.
func (e *Endpoint) now() *micro.EndpointStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	stats := e.stats
	return &stats
}

// NewService prepares a service without endpoints.
func NewService(nc *nats.Conn, source topology.Source, version string) *Service {
	return &Service{nc: nc, started: time.Now().UTC(), info: micro.Info{
		ServiceIdentity: micro.ServiceIdentity{
			Name: control.ServiceName, ID: rand.Text(), Version: semantic(version),
			Metadata: map[string]string{"source": string(source), "build": version},
		},
		Type: micro.InfoResponseType, Description: "Shapes of source " + string(source),
	}}
}

// Add adds an endpoint; Serve has it answer.
func (s *Service) Add(e *Endpoint, subject string) {
	name := strings.ReplaceAll(e.Name, ".", "-") // which the protocol wants
	s.info.Endpoints = append(s.info.Endpoints, micro.EndpointInfo{Name: name, Subject: subject, QueueGroup: micro.DefaultQueueGroup, Metadata: e.About})
	e.stats.Name, e.stats.Subject, e.stats.QueueGroup = name, subject, micro.DefaultQueueGroup
	s.endpoints = append(s.endpoints, e)
}

// Serve has requests come to take, and answers who asks for the service. Requests for answers on a subject that is no inbox
// are told to astray and not answered.
func (s *Service) Serve(take func(*Request), astray func(e *Endpoint, reply string)) error {
	for _, e := range s.endpoints {
		sub, err := s.nc.QueueSubscribe(e.stats.Subject, micro.DefaultQueueGroup, func(m *nats.Msg) {
			if m.Reply != "" && !topology.IsInbox(m.Reply) {
				astray(e, m.Reply)
				return
			}
			now := time.Now()
			take(&Request{Msg: m, To: e, Came: now, Until: now.Add(Timeout)})
		})
		if err != nil {
			return fmt.Errorf("start endpoint %s: %w", e.Name, topology.Explain(err))
		}
		s.subs = append(s.subs, sub)
	}
	for verb, about := range map[micro.Verb]func() any{
		micro.PingVerb: func() any { return micro.Ping{ServiceIdentity: s.info.ServiceIdentity, Type: micro.PingResponseType} },
		micro.InfoVerb: func() any { return s.info },
		micro.StatsVerb: func() any {
			stats := micro.Stats{ServiceIdentity: s.info.ServiceIdentity, Type: micro.StatsResponseType, Started: s.started}
			for _, e := range s.endpoints {
				stats.Endpoints = append(stats.Endpoints, e.now())
			}
			return stats
		},
	} {
		for _, to := range [][2]string{{}, {s.info.Name}, {s.info.Name, s.info.ID}} {
			subject, err := micro.ControlSubject(verb, to[0], to[1])
			if err != nil {
				return err
			}
			sub, err := s.nc.Subscribe(subject, func(m *nats.Msg) {
				if data, err := json.Marshal(about()); err == nil && topology.IsInbox(m.Reply) {
					_ = m.Respond(data) // who asked without saying where hears nothing
				}
			})
			if err != nil {
				return fmt.Errorf("start the control plane: %w", topology.Explain(err))
			}
			s.subs = append(s.subs, sub)
		}
	}
	return nil
}

// Stop ends the subscriptions; requests that have come are still taken.
func (s *Service) Stop() {
	for _, sub := range s.subs {
		if err := sub.Drain(); errors.Is(err, nats.ErrConnectionClosed) {
			return
		}
	}
}

// Respond sends an answer.
func (r *Request) Respond(data []byte) error { return r.Msg.Respond(data) }

// Refuse sends a refusal.
func (r *Request) Refuse(code, text string) error {
	return r.Msg.RespondMsg(&nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {text}}})
}

// semVer is what the protocol takes for a version, behind an optional v.
var semVer = regexp.MustCompile(`^v?((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9a-zA-Z.-]+)?(?:\+[0-9a-zA-Z.-]+)?)$`)

// semantic is a build's version in the form that the protocol wants; one that has another form is 0.0.0 with it behind.
func semantic(version string) string {
	if m := semVer.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	build := strings.Trim(regexp.MustCompile(`[^0-9a-zA-Z-]+`).ReplaceAllString(version, "-"), "-")
	if build == "" {
		return "0.0.0"
	}
	return "0.0.0+" + build
}
