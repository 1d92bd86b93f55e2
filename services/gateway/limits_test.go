package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// One who has a network of IPv6 has as many addresses as there are: they count as one. So do the ways to write an address.
func TestAnAddressIsWhatOneClientHas(t *testing.T) {
	for name, c := range map[string]struct {
		one, other string
		same       bool
	}{
		"ports":                  {"192.0.2.1:80", "192.0.2.1:81", true},
		"neighbours":             {"192.0.2.1:80", "192.0.2.2:80", false},
		"a network of IPv6":      {"[2001:db8:0:1::1]:80", "[2001:db8:0:1:ffff::2]:80", true},
		"two networks":           {"[2001:db8:0:1::1]:80", "[2001:db8:0:2::1]:80", false},
		"IPv4 in IPv6":           {"[::ffff:192.0.2.1]:80", "192.0.2.1:80", true},
		"IPv4 in IPv6, two":      {"[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.2]:80", false},
		"zones":                  {"[fe80::1%eth0]:80", "[fe80::1%eth1]:80", true},
		"what is no address":     {"@", "@", true},
		"a socket of the system": {"@", "192.0.2.1:80", false},
	} {
		l := newLimits(&Config{PerAddress: 1})
		enter := func(address string) (func(), error) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/shape", http.NoBody)
			r.RemoteAddr = address
			return l.enter(r)
		}
		leave, err := enter(c.one)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := enter(c.other); (err != nil) != c.same {
			t.Errorf("%s: %s and %s are one: %v", name, c.one, c.other, err != nil)
		}
		if leave(); len(l.addresses) > 1 {
			t.Errorf("%s: %v are left", name, l.addresses)
		}
		if _, err := enter(c.one); err != nil {
			t.Errorf("%s: the one that left does not get in again: %v", name, err)
		}
	}
}

func TestWhatACompressedAnswerIsSentIn(t *testing.T) {
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "gzip, zstd": "zstd", "br": "", "zstd;q=0, gzip": "gzip", "gzip;q=0": "", "gzip; Q=0": "", "zstd;Q=0.0,GZIP;q=0.5": "gzip", "gzip;q=x": "",
	} {
		if got := encoding(accept); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}
