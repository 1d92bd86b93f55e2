package value

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// bytesText accepts the constants of types that compare as their texts do.
func bytesText(k Kind, text string) (string, error) {
	switch k {
	case Bytea:
		return byteaText(text)
	case BitString:
		return bitsText(text)
	case MACAddr, MACAddr8:
		return macText(k, text)
	case UUID:
		return uuidText(text)
	default: // inet, cidr
		return networkConstant(k, text)
	}
}

// byteaText accepts hex digits, with blanks between the bytes, and the older form with escapes. The canonical form is hex.
func byteaText(text string) (string, error) {
	if digits, isHex := strings.CutPrefix(text, `\x`); isHex {
		var pairs strings.Builder
		for i := 0; i < len(digits); {
			switch {
			case strings.IndexByte(" \n\t\r", digits[i]) >= 0:
				i++
			case i+1 < len(digits):
				pairs.WriteString(digits[i : i+2])
				i += 2
			default:
				return "", badBytea(text)
			}
		}
		raw, err := hex.DecodeString(pairs.String())
		if err != nil {
			return "", badBytea(text)
		}
		return `\x` + hex.EncodeToString(raw), nil
	}
	raw := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			raw = append(raw, text[i])
		case strings.HasPrefix(text[i:], `\\`):
			raw = append(raw, '\\')
			i++
		default:
			if i+3 >= len(text) {
				return "", badBytea(text)
			}
			n, err := strconv.ParseUint(text[i+1:i+4], 8, 8)
			if err != nil {
				return "", badBytea(text)
			}
			raw = append(raw, byte(n))
			i += 3
		}
	}
	return `\x` + hex.EncodeToString(raw), nil
}

func badBytea(text string) *InputError {
	err := badInput(Bytea, text)
	err.Hint = `bytes are written in hex: \xdeadbeef`
	return err
}

// bitsText accepts zeros and ones, also after b, and hex digits after x.
func bitsText(text string) (string, error) {
	s := text
	if s != "" && (s[0] == 'b' || s[0] == 'B') {
		s = s[1:]
	}
	if s != "" && (s[0] == 'x' || s[0] == 'X') && s == text {
		var bits strings.Builder
		for _, c := range s[1:] {
			n, err := strconv.ParseUint(string(c), 16, 8)
			if err != nil {
				return "", badBits(text)
			}
			digits := strconv.FormatUint(n, 2)
			bits.WriteString("0000"[len(digits):] + digits)
		}
		return bits.String(), nil
	}
	if strings.Trim(s, "01") != "" {
		return "", badBits(text)
	}
	return s, nil
}

func badBits(text string) *InputError {
	err := badInput(BitString, text)
	err.Hint = "bits are written B'0101' or X'5'"
	return err
}

// macText accepts what macaddr_in and macaddr8_in do of whole bytes: digits in one piece, or with : or - or . between bytes or
// longer parts of one size.
func macText(k Kind, text string) (string, error) {
	s := strings.Trim(text, Space)
	size := 6
	if k == MACAddr8 {
		size = 8
	}
	err := badInput(k, text)
	err.Hint = "hardware addresses are written 08:00:2b:01:02:03"
	digits := s
	if i := strings.IndexAny(s, ":-."); i >= 0 {
		parts := strings.Split(s, s[i:i+1])
		for _, p := range parts {
			if len(p) != len(parts[0]) {
				return "", err
			}
		}
		// The parts that Postgres knows: of a byte, of half an address, of two bytes.
		form := s[i:i+1] + strconv.Itoa(len(parts[0]))
		known := map[string]bool{":2": true, "-2": true, ":6": k == MACAddr, "-6": k == MACAddr, ".4": k == MACAddr, "-4": k == MACAddr}
		if !known[form] {
			return "", err
		}
		digits = strings.Join(parts, "")
	}
	raw, herr := hex.DecodeString(digits)
	if herr != nil {
		return "", err
	}
	if k == MACAddr8 && len(raw) == 6 {
		raw = append(raw[:3:3], append([]byte{0xff, 0xfe}, raw[3:]...)...)
	}
	if len(raw) != size {
		return "", err
	}
	var out strings.Builder
	for i := range raw {
		if i > 0 {
			out.WriteByte(':')
		}
		out.WriteString(hex.EncodeToString(raw[i : i+1]))
	}
	return out.String(), nil
}

// oidText accepts whole numbers of 32 bits. Postgres also takes negative ones for what they are without a sign.
func oidText(text string) (string, error) {
	s := strings.Trim(text, Space)
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case s == "" || !allDigits([]byte(s)):
		return "", badInput(OID, text)
	case err != nil:
		return "", OutOfRange(OID, text)
	}
	return strconv.FormatUint(n, 10), nil
}

// nameText cuts a name to what Postgres keeps of it: 63 bytes, of whole characters.
func nameText(text string) string {
	const most = 63
	for len(text) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return text
}
