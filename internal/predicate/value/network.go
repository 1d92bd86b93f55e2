package value

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// Addresses of networks compare by family, prefix and bits, all of which their text shows: inet leaves the length of the
// prefix out where it is the whole address, cidr never does.

// hostText is a text of cidr as inet would write it.
func hostText(text []byte) []byte {
	if bytes.IndexByte(text, ':') >= 0 {
		return bytes.TrimSuffix(text, []byte("/128"))
	}
	return bytes.TrimSuffix(text, []byte("/32"))
}

// networkText is the cast to text, which always shows the length of the prefix.
func networkText(text []byte) []byte {
	switch {
	case bytes.IndexByte(text, '/') >= 0:
		return text
	case bytes.IndexByte(text, ':') >= 0:
		return append(bytes.Clone(text), "/128"...)
	}
	return append(bytes.Clone(text), "/32"...)
}

// networkConstant accepts whole addresses, with or without the length of a prefix. Postgres also takes shortened ones.
func networkConstant(k Kind, text string) (string, error) {
	err := badInput(k, text)
	err.Hint = "addresses are written whole: 10.0.0.1, 10.0.0.0/8, 2001:db8::1, 2001:db8::/32"
	host, length, hasLength := strings.Cut(strings.Trim(text, Space), "/")
	addr, perr := netip.ParseAddr(host)
	if perr != nil || addr.Zone() != "" || hasLength && (length == "" || !allDigits([]byte(length)) || len(length) > 3) {
		return "", err
	}
	bits := addr.BitLen()
	if hasLength {
		bits, _ = strconv.Atoi(length)
		if bits > addr.BitLen() {
			return "", err
		}
	}
	out := addressText(addr)
	switch {
	case k == Cidr && netip.PrefixFrom(addr, bits).Masked().Addr() != addr:
		err.Hint = "a cidr has no bits beyond its prefix"
		return "", err
	case bits < addr.BitLen() || k == Cidr:
		out += "/" + strconv.Itoa(bits)
	}
	return out, nil
}

// addressText prints an address as Postgres does: what begins with six zero words, and no more, ends like an
// address of four bytes.
func addressText(a netip.Addr) string {
	if !a.Is6() || a.Is4In6() {
		return a.String()
	}
	raw := a.As16()
	zeros := 0 // words
	for zeros < 8 && raw[2*zeros] == 0 && raw[2*zeros+1] == 0 {
		zeros++
	}
	if zeros == 6 {
		return "::" + netip.AddrFrom4([4]byte(raw[12:])).String()
	}
	return a.String()
}
