package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/services/gateway"
)

type gatewayCmd struct {
	streamFlags
	databaseFlags
	gatewayTuning `group:"Tuning:"`
	accessFlags   `group:"Access:"`
	consoleFlags  `group:"Access:"`

	HTTPListen string `name:"http-listen" default:":3000" help:"Address that clients are served on (default ${default})."`
	HTTPCert   string `name:"http-cert" type:"path" help:"File with the certificate for HTTPS, and those above it. Default none: HTTP/1.1 and HTTP/2 without TLS, as proxies speak it."`
	HTTPKey    string `name:"http-key" type:"path" help:"File with the key of --http-cert. Default none."`
	Listen     string `default:":8083" help:"Address of /healthz, /readyz and /metrics; empty for none (default ${default})."`
}

// gatewayTuning is what dev offers too.
type gatewayTuning struct {
	ChunkBytes  byteSize      `default:"10MiB" help:"Size at which an answer is cut; the same for all gateways of a source (default ${default})."`
	CacheBytes  byteSize      `default:"64MiB" help:"Memory for large answers that are asked for again (default ${default})."`
	SendBytes   byteSize      `default:"256MiB" help:"Memory for large answers that clients are being sent; more are asked to come later (default ${default})."`
	LongPoll    time.Duration `default:"20s" help:"How long a live request waits for something new (default ${default})."`
	MaxAge      time.Duration `default:"1m" help:"How long caches may keep an answer without asking (default ${default})."`
	MaxFollowed int           `default:"10000" help:"Shapes that a gateway follows at once (default ${default})."`
	PerAddress  int           `default:"0" help:"Requests at once from one address; 0 is no limit, as is right behind a proxy (default ${default})."`
	Deletions   bool          `help:"Let clients delete shapes, which ends them for every reader. For tests. Default off."`
}

// accessFlags say who may ask for what.
type accessFlags struct {
	Secret          string   `help:"What clients must send as the parameter secret; best as a variable. Default none: everybody who can reach the address may ask." restricts:""`
	SecretFile      string   `type:"path" help:"File with it. Default none." restricts:""`
	Table           []string `name:"allow-table" sep:"none" placeholder:"TABLE" help:"Tables that may be asked for; repeat it. Default: all." restricts:""`
	TokenSecretFile string   `type:"path" help:"File with the secret of JSON web tokens (HS256), which every request must then have. Default none." restricts:""`
	TokenKeys       string   `type:"path" help:"File with the keys of JSON web tokens (RS256, ES256) as a JWKS. Default none." restricts:""`
	TokenKeysURL    string   `name:"token-keys-url" help:"URL of such a file, which is read again now and then. Default none." restricts:""`
	TokenAudience   string   `help:"Who tokens must be for. Default: anybody." restricts:""`
	TokenIssuer     string   `help:"Who must have made tokens. Default: anybody." restricts:""`
}

// consoleFlags turn the console on.
type consoleFlags struct {
	ConsoleSecret           string `help:"What opens the console at /console: everything there is to see, rows among it, and to do; best as a variable. Default none: there is no console." restricts:""`
	ConsoleSecretFile       string `type:"path" help:"File with it. Default none." restricts:""`
	ConsoleViewerSecret     string `help:"What opens of the console what shows no rows and changes nothing. Default none." restricts:""`
	ConsoleViewerSecretFile string `type:"path" help:"File with it. Default none." restricts:""`
}

// secrets are what opens the console, all of it and what a viewer sees.
func (f consoleFlags) secrets() (full, viewer string, err error) {
	if full, err = secretOf("--console-secret", f.ConsoleSecret, f.ConsoleSecretFile); err == nil {
		viewer, err = secretOf("--console-viewer-secret", f.ConsoleViewerSecret, f.ConsoleViewerSecretFile)
	}
	return full, viewer, err
}

// secretOf is a secret that is given by itself or in a file.
func secretOf(flag, secret, file string) (string, error) {
	switch {
	case file == "":
		return secret, nil
	case secret != "":
		return "", &usageError{text: fmt.Sprintf("%s and %s-file say the same: give one of them", flag, flag)}
	}
	text, err := readSecret(flag+"-file", file)
	if err == nil && text == "" {
		err = fmt.Errorf("%s-file: %s is empty; write the secret into it", flag, file)
	}
	return text, err
}

func (f accessFlags) access() (gateway.Access, error) {
	secret, err := secretOf("--secret", f.Secret, f.SecretFile)
	if err != nil {
		return gateway.Access{}, err
	}
	a := gateway.Access{Secret: secret, Tables: f.Table, TokenKeys: f.TokenKeys, TokenKeysURL: f.TokenKeysURL, TokenAudience: f.TokenAudience, TokenIssuer: f.TokenIssuer}
	if f.TokenSecretFile != "" {
		text, err := readSecret("--token-secret-file", f.TokenSecretFile)
		if err != nil {
			return a, err
		}
		a.TokenSecret = []byte(text)
	}
	return a, nil
}

func (t gatewayTuning) config() gateway.Config {
	return gateway.Config{
		ChunkBytes: int(t.ChunkBytes), CacheBytes: int(t.CacheBytes), SendBytes: int(t.SendBytes), LongPoll: t.LongPoll, MaxAge: t.MaxAge, MaxShapes: t.MaxFollowed,
		PerAddress: t.PerAddress, Deletions: t.Deletions, Version: versionText(),
	}
}

// Run runs the service.
func (c *gatewayCmd) Run(ctx context.Context, out *console) error {
	cfg := c.config()
	cfg.Address = c.HTTPListen
	var err error
	if cfg.ConsoleSecret, cfg.ConsoleViewerSecret, err = c.secrets(); err != nil {
		return err
	}
	if cfg.DatabaseURL, err = c.given(); err != nil {
		return err
	}
	if cfg.Access, err = c.access(); err != nil {
		return err
	}
	if cfg.TLS, err = c.tls(); err != nil {
		return err
	}
	var running atomic.Pointer[gateway.Gateway]
	return service{
		role: "gateway", listen: c.Listen, grows: true,
		build: func(d dependencies) (func(context.Context) error, error) {
			of := cfg
			of.Source, of.NATS, of.Log, of.Tracer, of.APIPrefix = d.source, d.nats, d.log, d.tracer, c.NATS.APIPrefix
			s, err := gateway.New(of)
			if err != nil {
				return nil, err
			}
			running.Store(s)
			return s.Run, nil
		},
		facts: func() (health.Facts, bool) { return healthOf(running.Load()) },
		metrics: func() []telemetry.Metric {
			if s := running.Load(); s != nil {
				return gatewayMetrics(s.Status())
			}
			return gatewayMetrics(gateway.Status{})
		},
	}.run(ctx, out, c.streamFlags, nil)
}

// tls reads the certificate, nil if there is none.
func (c *gatewayCmd) tls() (*tls.Config, error) {
	switch {
	case c.HTTPCert == "" && c.HTTPKey == "":
		return nil, nil
	case c.HTTPCert == "" || c.HTTPKey == "":
		return nil, &usageError{text: "--http-cert and --http-key belong together"}
	}
	cert, err := tls.LoadX509KeyPair(c.HTTPCert, c.HTTPKey)
	if err != nil {
		return nil, fmt.Errorf("certificate for HTTPS: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}
