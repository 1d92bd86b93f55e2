package main

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/topology"
)

// natsFlags say how to reach NATS, in the words of its own tools.
type natsFlags struct {
	URL          string `name:"nats-url" env:"SHAPEBUS_NATS_URL,NATS_URL" default:"nats://127.0.0.1:4222" help:"NATS servers, comma-separated (default ${default})."`
	URLFile      string `name:"nats-url-file" type:"path" help:"File that holds --nats-url, for a URL with a secret in it. Default none."`
	Creds        string `name:"nats-creds" env:"SHAPEBUS_NATS_CREDS,NATS_CREDS" type:"path" help:"Credentials file, as nsc writes it. Default none."`
	NKey         string `name:"nats-nkey" env:"SHAPEBUS_NATS_NKEY,NATS_NKEY" type:"path" help:"File with an nkey seed. Default none."`
	User         string `name:"nats-user" env:"SHAPEBUS_NATS_USER,NATS_USER" help:"User name. Default none."`
	Password     string `name:"nats-password" env:"SHAPEBUS_NATS_PASSWORD,NATS_PASSWORD" help:"Password of --nats-user; better by environment or file, other users see command lines. Default none."`
	PasswordFile string `name:"nats-password-file" type:"path" help:"File that holds --nats-password. Default none."`
	InboxPrefix  string `name:"nats-inbox-prefix" env:"SHAPEBUS_NATS_INBOX_PREFIX" default:"_INBOX" help:"Beginning of the subjects on which answers come, itself with _ at its beginning. One of its own for each user, such as _INBOX.alice, keeps users from reading the answers to others (default ${default})."`
	APIPrefix    string `name:"nats-js-api-prefix" placeholder:"SUBJECT" help:"Beginning of JetStream's subjects, where it is not $$JS.API: $$JS.<domain>.API behind a leaf node. Default $$JS.API."`
	TLSCA        string `name:"nats-tls-ca" env:"SHAPEBUS_NATS_TLS_CA,NATS_CA" type:"path" help:"File with the authorities that sign the server's certificate. Default: the system's."`
	TLSCert      string `name:"nats-tls-cert" env:"SHAPEBUS_NATS_TLS_CERT,NATS_CERT" type:"path" help:"File with a client certificate; needs --nats-tls-key. Default none."`
	TLSKey       string `name:"nats-tls-key" env:"SHAPEBUS_NATS_TLS_KEY,NATS_KEY" type:"path" help:"File with the client certificate's key. Default none."`
}

// servers is the address to connect to. It may hold secrets.
func (f *natsFlags) servers() (string, error) {
	if f.URLFile == "" {
		return f.URL, nil
	}
	return readSecret("--nats-url-file", f.URLFile)
}

// address is the servers as they may be shown.
func (f *natsFlags) address() string {
	servers, err := f.servers()
	if err != nil {
		return f.URLFile
	}
	return redactServers(servers)
}

// redactServers takes user, password and token out of server URLs.
func redactServers(servers string) string {
	list := strings.Split(servers, ",")
	for i, s := range list {
		s = strings.TrimSpace(s)
		if at := strings.LastIndex(s, "@"); at >= 0 {
			scheme, _, ok := strings.Cut(s, "://")
			if s = s[at+1:]; ok {
				s = scheme + "://" + s
			}
		}
		list[i] = s
	}
	return strings.Join(list, ",")
}

// options turns the flags into nats.go's options. Files are read now, so that a wrong name is found at the start, and again
// at each connection, but for --nats-nkey, whose public half belongs to the options.
func (f *natsFlags) options() ([]nats.Option, error) {
	var opts []nats.Option
	for _, file := range []struct{ flag, name string }{
		{"--nats-creds", f.Creds}, {"--nats-nkey", f.NKey}, {"--nats-tls-ca", f.TLSCA}, {"--nats-tls-cert", f.TLSCert}, {"--nats-tls-key", f.TLSKey},
	} {
		if file.name == "" {
			continue
		}
		if _, err := os.ReadFile(file.name); err != nil {
			return nil, fmt.Errorf("%s: %w; give a file that this user can read", file.flag, err)
		}
	}
	if f.Creds != "" {
		opts = append(opts, nats.UserCredentials(f.Creds))
	}
	if f.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(f.NKey)
		if err != nil {
			return nil, fmt.Errorf("--nats-nkey %s: %w; want a file with an nkey seed (a line that begins with SU)", f.NKey, err)
		}
		opts = append(opts, opt)
	}
	if f.InboxPrefix != "" {
		if !topology.IsInbox(f.InboxPrefix) {
			return nil, &usageError{text: fmt.Sprintf("--nats-inbox-prefix %s: want one that begins with _, such as _INBOX.%s; Shapebus answers nowhere else", f.InboxPrefix, f.InboxPrefix)}
		}
		opts = append(opts, nats.CustomInboxPrefix(f.InboxPrefix))
	}
	password := f.Password
	if f.PasswordFile != "" {
		var err error
		if password, err = readSecret("--nats-password-file", f.PasswordFile); err != nil {
			return nil, err
		}
	}
	switch {
	case f.User != "":
		opts = append(opts, nats.UserInfoHandler(func() (user, secret string) {
			if f.PasswordFile != "" {
				if now, err := readSecret("--nats-password-file", f.PasswordFile); err == nil {
					return f.User, now
				}
			}
			return f.User, password
		}))
	case password != "":
		return nil, &usageError{text: "a NATS password needs --nats-user"}
	}
	if f.TLSCA != "" {
		opts = append(opts, nats.RootCAs(f.TLSCA))
	}
	switch {
	case f.TLSCert != "" && f.TLSKey != "":
		opts = append(opts, nats.ClientCert(f.TLSCert, f.TLSKey))
	case f.TLSCert != "" || f.TLSKey != "":
		return nil, &usageError{text: "--nats-tls-cert and --nats-tls-key go together"}
	}
	return opts, nil
}

// readSecret reads a secret from a file, without the line's end.
func readSecret(flag, name string) (string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w; give a file that this user can read", flag, err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// holdsPassword reports whether a URL or key=value string carries a secret.
func holdsPassword(s string) bool {
	if strings.Contains(strings.ToLower(s), "password") {
		return true
	}
	for one := range strings.SplitSeq(s, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err == nil && u.User != nil {
			// NATS takes a lone user name as a token; Postgres does not.
			if _, ok := u.User.Password(); ok || !strings.HasPrefix(u.Scheme, "postgres") {
				return true
			}
		}
	}
	return false
}
