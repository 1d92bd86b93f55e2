package topology

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is JetStream on a connection, asked on subjects that begin with a prefix; "" is the usual one, $JS.API.
// [DomainPrefix] is that of a domain, which a connection to a leaf node needs. An account that imports JetStream's subjects
// may give them any.
func JetStream(nc *nats.Conn, prefix string, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	if prefix == "" {
		return jetstream.New(nc, opts...)
	}
	plain := strings.TrimSuffix(prefix, ".")
	if plain == "" || strings.ContainsAny(plain, "*> \t\r\n") || strings.HasPrefix(plain, ".") || strings.Contains(plain, "..") || strings.HasSuffix(plain, ".") {
		return nil, fmt.Errorf("JetStream API prefix %q: want the beginning of subjects, such as $JS.hub.API", prefix)
	}
	// Not jetstream.NewWithDomain: batched direct gets make a wrong subject of a domain.
	return jetstream.NewWithAPIPrefix(nc, plain, opts...)
}

// DomainPrefix is the prefix of a domain of JetStream.
func DomainPrefix(domain string) string { return "$JS." + domain + ".API" }

// KeySubject is the subject on which the value of a bucket's key is written. Behind a leaf node that has a JetStream of its own
// it begins with the prefix: the bare subject does not pass.
func KeySubject(js jetstream.JetStream, bucket, key string) string {
	subject := "$KV." + bucket + "." + key
	if prefix := strings.TrimSuffix(js.Options().APIPrefix, "."); prefix != "" && prefix != strings.TrimSuffix(jetstream.DefaultAPIPrefix, ".") {
		return prefix + "." + subject
	}
	return subject
}

// CheckWriterPrefix refuses prefixes with which nothing can be written. Streams and buckets take messages on subjects of the
// account that holds them; a domain's prefix is one of that account, and any other one is how another account
// imports what it may ask.
func CheckWriterPrefix(prefix string) error {
	if prefix == "" || prefix == "$JS.API" {
		return nil
	}
	token, ok := strings.CutPrefix(strings.TrimSuffix(prefix, "."), "$JS.")
	if token, ok2 := strings.CutSuffix(token, ".API"); ok && ok2 && token != "" && !strings.ContainsAny(token, ".*> \t\r\n") {
		return nil
	}
	return fmt.Errorf("JetStream API prefix %q: a service that writes belongs into the account that holds the streams, whose subjects it publishes on; "+
		"connect it there, through a leaf node with the prefix of a domain ($JS.<domain>.API). Apps and the gateway, which only read, may be in an account that imports", prefix)
}
