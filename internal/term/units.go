package term

import (
	"time"

	"github.com/dustin/go-humanize"
)

// Number is what can be counted.
type Number interface{ int | int64 | uint64 }

// Size writes a number of bytes in units of powers of 1024.
func Size(n int64) string {
	if n < 0 {
		return "-" + Size(-n)
	}
	return humanize.IBytes(uint64(n))
}

// Count writes a number with separators between thousands.
func Count[N Number](n N) string { return humanize.Comma(int64(n)) }

// Plural writes "1 row" or "5 rows".
func Plural[N Number](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(n) + " " + thing + "s"
}

// Rate writes how many things a second there were.
func Rate(n int64, d time.Duration) string {
	if d <= 0 {
		return "0/s"
	}
	return Count(int64(float64(n)/d.Seconds())) + "/s"
}
