package strictyaml

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads a duration as Go writes it, with d for days of 24 hours in front: 90s, 1h30m, 30d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 31)
	if err != nil || !wholeNumber(days) {
		return 0, errors.New("days are not a whole number")
	}
	if n > uint64(math.MaxInt64/day) {
		return 0, errors.New("too many days")
	}
	sum := time.Duration(n) * day
	if rest == "" {
		return sum, nil
	}
	part, err := time.ParseDuration(rest)
	if err != nil {
		return 0, err
	}
	if rest[0] == '-' || rest[0] == '+' || part > math.MaxInt64-sum {
		return 0, errors.New("a sign after the days, or too long")
	}
	return sum + part, nil
}

// parseTime reads a time with its zone, or a date, which is its midnight in UTC. The result is in UTC.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err
}

// wholeNumber says whether s is a decimal whole number in its one form: no plus sign, no leading zero, no underscore.
func wholeNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits[0] != '0' || digits == "0") && s != "-0"
}

// decimal says whether s is a decimal number: a whole one, perhaps with a fraction and a power of ten.
func decimal(s string) bool {
	mantissa, exponent, scaled := strings.Cut(strings.ToLower(s), "e")
	whole, fraction, broken := strings.Cut(mantissa, ".")
	if digits := strings.TrimPrefix(whole, "-"); !wholeNumber(digits) {
		return false
	}
	if broken && (fraction == "" || strings.Trim(fraction, "0123456789") != "") {
		return false
	}
	if scaled {
		digits := strings.TrimLeft(exponent, "+-")
		return len(exponent)-len(digits) <= 1 && digits != "" && strings.Trim(digits, "0123456789") == ""
	}
	return true
}

// numeric says whether some reader of YAML takes the plain text s for a number, such as 0777, 0x1f, 1e3, 1_000 or .inf.
func numeric(s string) bool {
	s = strings.ToLower(strings.ReplaceAll(strings.TrimLeft(s, "+-"), "_", ""))
	switch s {
	case "":
		return false
	case ".inf", ".nan":
		return true
	}
	if c := s[0]; (c < '0' || c > '9') && c != '.' {
		return false
	}
	if _, err := strconv.ParseInt(s, 0, 64); err == nil {
		return true
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil || errors.Is(err, strconv.ErrRange) || strings.Trim(s, "0123456789") == ""
}
