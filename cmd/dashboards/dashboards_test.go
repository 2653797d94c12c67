package main

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const grafana = "../../deploy/grafana"

// safe are the colours that the dashboards may have: those of Okabe and Ito, which people who see fewer colours tell apart, a few of Paul
// Tol's, and greys. No panel tells good from bad by green and red, and none by colour alone.
var safe = []string{
	"#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#CC79A7", "#882255", "#DDCC77", "#8C959F", "#5F6B7A", "#CCD1D8",
}

// units are those that are used, by the ids that Grafana has for them: one that it does not know it writes behind the number as it is.
var units = []string{"bytes", "dateTimeAsLocal", "none", "percentunit", "reqps", "s", "string"}

var (
	colourPattern  = regexp.MustCompile(`(?i)"(?:color|fixedColor|iconColor)": "([^"]*)"`)
	palettePattern = regexp.MustCompile(`"mode": "((?:continuous|palette)-[^"]*)"`)
)

// What a reader of a dashboard may rely on: no panel lies over another one or beyond the edge, each says what it shows, in which unit, and
// what it means when there is nothing; all ask the data source that was chosen; the ones and the others lead to each other.
func TestDashboardsAreWhole(t *testing.T) {
	all, err := boards(filepath.Join(grafana, "dashboards"))
	if err != nil {
		t.Fatal(err)
	}
	uids := map[string]bool{}
	for i := range all {
		b := &all[i]
		if uids[b.UID] || !strings.HasPrefix(b.UID, "agencyaudit-") {
			t.Errorf("%s: the uid %q is another one's, or not ours", b.name, b.UID)
		}
		uids[b.UID] = true
		text, err := os.ReadFile(filepath.Join(grafana, "dashboards", b.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range colourPattern.FindAllStringSubmatch(string(text), -1) {
			if !slices.Contains(safe, m[1]) {
				t.Errorf("%s: the colour %s is not among the safe ones", b.name, m[1])
			}
		}
		for _, m := range palettePattern.FindAllStringSubmatch(string(text), -1) {
			t.Errorf("%s: the palette %s has colours that are not among the safe ones", b.name, m[1])
		}
		if !strings.Contains(string(text), `"tags": ["agencyaudit"]`) && !strings.Contains(string(text), "\"tags\": [\n    \"agencyaudit\"\n  ]") {
			t.Errorf("%s has no tag by which the others find it", b.name)
		}
		b.checkPanels(t)
		b.checkVariables(t)
	}
}

func (b *board) checkPanels(t *testing.T) {
	t.Helper()
	ids, titles := map[int]bool{}, map[string]bool{}
	for i, p := range b.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s: the id %d of %q is another panel's, or none", b.name, p.ID, p.Title)
		}
		if titles[p.Title] {
			t.Errorf("%s: two panels are called %q", b.name, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		if g := p.Grid; g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("%s: %q is beyond the edge: %+v", b.name, p.Title, g)
		}
		for _, other := range b.Panels[:i] {
			if o, g := other.Grid, p.Grid; o.X < g.X+g.W && g.X < o.X+o.W && o.Y < g.Y+g.H && g.Y < o.Y+o.H {
				t.Errorf("%s: %q lies over %q", b.name, p.Title, other.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		p.checkColours(t, b.name)
		used := []string{p.FieldConfig.Defaults.Unit}
		for _, o := range p.FieldConfig.Overrides {
			for _, prop := range o.Properties {
				if prop.ID == "unit" {
					used = append(used, strings.Trim(string(prop.Value), `"`))
				}
			}
		}
		for _, u := range used {
			if !slices.Contains(units, u) {
				t.Errorf("%s: %q has the unit %q, which Grafana may not know", b.name, p.Title, u)
			}
		}
		d := p.FieldConfig.Defaults
		// Grafana writes what it says of no value in the first colour.
		if s := d.Thresholds.Steps; p.Type == "stat" && (len(s) == 0 || s[0].Color != "#8C959F") {
			t.Errorf("%s: %q says in a colour that means something that there is no value", b.name, p.Title)
		}
		if p.Title == "" || p.Description == "" || d.Unit == "" || d.NoValue == "" {
			t.Errorf("%s: %q lacks a title, a description, a unit or what it says when there is nothing", b.name, p.Title)
		}
		// Grafana has an empty cell say what an empty panel says, unless told otherwise.
		if o := p.FieldConfig.Overrides; p.Type == "table" && (len(o) == 0 || o[0].Matcher.Options != "/.*/" || o[0].Properties[0].ID != "noValue") {
			t.Errorf("%s: an empty cell of %q says that there is nothing at all", b.name, p.Title)
		}
		if len(p.Targets) == 0 || !p.Datasource.chosen() {
			t.Errorf("%s: %q asks nothing, or not the data source that was chosen", b.name, p.Title)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if refs[q.Ref] || q.Expr == "" || !q.Datasource.chosen() {
				t.Errorf("%s: a query of %q has another one's letter, asks nothing, or asks somebody else", b.name, p.Title)
			}
			refs[q.Ref] = true
		}
	}
}

// checkColours: colours that are side by side in a graph are told apart by who sees no red or no green, too.
func (p *panel) checkColours(t *testing.T, board string) {
	t.Helper()
	if p.Type != "timeseries" && p.Type != "state-timeline" {
		return
	}
	names := map[string]string{}
	for _, o := range p.FieldConfig.Overrides {
		for _, prop := range o.Properties {
			var c colour
			if prop.ID == "color" && json.Unmarshal(prop.Value, &c) == nil {
				names[o.Matcher.Options] = c.Fixed
			}
		}
	}
	for _, m := range p.FieldConfig.Defaults.Mappings {
		for _, o := range m.Options {
			names[o.Text] = o.Color
		}
	}
	for x, c := range names {
		for y, d := range names {
			if x < y && apart(c, d) < 18 {
				t.Errorf("%s: %q has %s for %q and %s for %q, which not everybody tells apart: %.0f", board, p.Title, c, x, d, y, apart(c, d))
			}
		}
	}
}

// visions are what becomes of linear red, green and blue for who sees all of them, no red, or no green, by Machado, Oliveira and Fernandes
// (2009).
var visions = [][3][3]float64{
	{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	{{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
}

// apart is the distance of two colours in CIELAB, for whom it is least. What is below 10 is taken for the same at a glance.
func apart(x, y string) float64 {
	least := math.Inf(1)
	for _, vision := range visions {
		a, b := lab(x, vision), lab(y, vision)
		least = min(least, math.Sqrt((a[0]-b[0])*(a[0]-b[0])+(a[1]-b[1])*(a[1]-b[1])+(a[2]-b[2])*(a[2]-b[2])))
	}
	return least
}

func lab(hex string, vision [3][3]float64) [3]float64 {
	var linear, seen [3]float64
	for i := range linear {
		n, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if v := float64(n) / 255; v <= 0.04045 {
			linear[i] = v / 12.92
		} else {
			linear[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	for i, row := range vision {
		seen[i] = min(1, max(0, row[0]*linear[0]+row[1]*linear[1]+row[2]*linear[2]))
	}
	f := func(v float64) float64 {
		if v > 0.008856 {
			return math.Cbrt(v)
		}
		return 7.787*v + 16.0/116
	}
	x := f((0.4124*seen[0] + 0.3576*seen[1] + 0.1805*seen[2]) / 0.9505)
	y := f(0.2126*seen[0] + 0.7152*seen[1] + 0.0722*seen[2])
	z := f((0.0193*seen[0] + 0.1192*seen[1] + 0.9505*seen[2]) / 1.089)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// nothingKnown are the words of which one has to be in what a panel says that has no answer. That rules may be lacking is not enough: where
// they are there, the rest would be taken for the answer of an auditor that is silent.
var nothingKnown = regexp.MustCompile(`(?i)not known|nothing is known|no figures|none in a week`)

// expected are the dashboards, with what has an answer in which state.
func expected(t *testing.T) ([]board, expectations) {
	t.Helper()
	all, err := boards(filepath.Join(grafana, "dashboards"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := expect(filepath.Join(grafana, "check", "expected.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return all, e
}

// While nobody looks, no panel sounds as if all were well: neither at once nor after so long a silence that none has an answer any more.
func TestSilenceIsNoGoodNews(t *testing.T) {
	all, e := expected(t)
	if !slices.Contains(e.Exact, silent) {
		t.Fatalf("what has no answer in the state %q is not checked: %q", silent, e.Exact)
	}
	for i := range all {
		b := &all[i]
		for _, p := range b.Panels {
			if says := p.FieldConfig.Defaults.NoValue; p.Type != "row" && !nothingKnown.MatchString(says) {
				t.Errorf("%s: %q says %q while the auditor is silent", b.name, p.Title, says)
			}
		}
	}
}

func (b *board) checkVariables(t *testing.T) {
	t.Helper()
	for i, v := range b.Templating.List {
		if v.Label == "" || v.Description == "" {
			t.Errorf("%s: the variable %s lacks a label or a description", b.name, v.Name)
		}
		if (v.Type == "datasource") != (i == 0) || v.Type == "query" && (v.Datasource == nil || !v.Datasource.chosen()) {
			t.Errorf("%s: the variable %s asks another data source than the first variable chooses", b.name, v.Name)
		}
		// An account without a tag has no such label, which ".*" fits too.
		if v.IncludeAll && v.AllValue != ".*" {
			t.Errorf("%s: all of the variable %s are %q", b.name, v.Name, v.AllValue)
		}
	}
	for _, a := range b.Annotations.List {
		if !a.Datasource.chosen() || a.Target.Expr == "" {
			t.Errorf("%s: the annotation %s asks nothing, or somebody else", b.name, a.Name)
		}
	}
}

// chosen says whether it is the data source that the first variable chooses.
func (s source) chosen() bool { return s == source{Type: "prometheus", UID: "${datasource}"} }

// The table of expectations is about everything that the dashboards ask, and about nothing else; and everything has an answer somewhere,
// but for what is named here with its reason.
func TestEverythingIsExpectedSomewhere(t *testing.T) {
	nowhere := map[string]string{
		"annotation Suspect runs": "it takes many accounts that are not listed any more, or that change at once while reading fails",
	}
	all, e := expected(t)
	var names []string
	for i := range all {
		b := &all[i]
		names = append(names, b.name)
		want, have := slices.Sorted(maps.Keys(e.Dashboards[b.name])), b.asks()
		slices.Sort(have)
		if !slices.Equal(want, have) {
			t.Errorf("%s: expected.yaml has %q, the dashboard has %q", b.name, want, have)
		}
		for ask, states := range e.Dashboards[b.name] {
			for _, s := range states {
				if s != everywhere && s != ever && !slices.Contains(e.States, s) {
					t.Errorf("%s: %s is expected in %q, which is no state", b.name, ask, s)
				}
			}
			if _, ok := nowhere[ask]; (len(states) == 0) != ok {
				t.Errorf("%s: %s is expected in the states %q, and that is not as it should be", b.name, ask, states)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(e.Dashboards)); !slices.Equal(got, names) {
		t.Errorf("expected.yaml is about %q, the dashboards are %q", got, names)
	}
}
