package daemon

import (
	"errors"
	"slices"
	"testing"
)

func TestOnly(t *testing.T) {
	all := static{{ID: "d1", Name: "prod-eu"}, {ID: "d2", Name: "prod-ap"}, {ID: "d3", Name: "dev"}}
	names := func(s static) []string {
		var out []string
		for _, a := range s {
			out = append(out, a.Name)
		}
		return out
	}
	for _, c := range []struct{ wanted, got []string }{
		{nil, []string{"prod-eu", "prod-ap", "dev"}},
		{[]string{"dev"}, []string{"dev"}},
		{[]string{"d2"}, []string{"prod-ap"}},
		{[]string{"dev", "d3", "dev"}, []string{"dev"}},
	} {
		got, err := all.only(c.wanted)
		if err != nil || !slices.Equal(names(got), c.got) {
			t.Errorf("only %q: %v, %v", c.wanted, names(got), err)
		}
	}
	for _, c := range []struct {
		wanted []string
		near   []string
	}{
		{[]string{"prod-eu", "pord-ap"}, []string{"prod-ap"}},
		{[]string{"prod"}, []string{"prod-ap", "prod-eu"}},
		{[]string{"zzzzzzzz"}, nil},
		{[]string{""}, nil},
	} {
		got, err := all.only(c.wanted)
		e, ok := errors.AsType[*UnknownAccountError](err)
		if !ok || got != nil {
			t.Fatalf("only %q: %v, %v", c.wanted, got, err)
		}
		if !slices.Equal(e.Near[:min(len(c.near), len(e.Near))], c.near) {
			t.Errorf("only %q: %v", c.wanted, e)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		far  int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"prod", "pord", 2}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.far || distance(c.b, c.a) != c.far {
			t.Errorf("%q to %q: %d", c.a, c.b, got)
		}
	}
}
