package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// asker asks Prometheus what one dashboard asks.
type asker struct {
	ctx    context.Context
	base   string
	now    time.Time
	span   time.Duration
	values map[string]string // of the variables, by name
}

// row is one series of an answer, with its one value or with several.
type row struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
	Values []point           `json:"values"`
}

// point is an instant in seconds, and a value in words.
type point [2]any

func (p point) at() float64 {
	at, _ := p[0].(float64)
	return at
}

func (p point) number() float64 {
	text, _ := p[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// client gives Prometheus the time that Grafana gives it by default.
var client = &http.Client{Timeout: 30 * time.Second}

func (a *asker) get(path string, q url.Values, into any) error {
	req, err := http.NewRequestWithContext(a.ctx, http.MethodGet, a.base+path+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var envelope struct {
		Status   string          `json:"status"`
		Error    string          `json:"error"`
		Warnings []string        `json:"warnings"`
		Data     json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		return fmt.Errorf("%s: %.200s", resp.Status, data)
	}
	if envelope.Status != "success" || len(envelope.Warnings) > 0 {
		return errors.New(envelope.Error + strings.Join(envelope.Warnings, "; "))
	}
	return json.Unmarshal(envelope.Data, into)
}

var placePattern = regexp.MustCompile(`\$\{?(\w+)\}?`)

// fill puts the variables in their places. One that nobody has set is a fault: Grafana would send its name.
func (a *asker) fill(text string) (string, error) {
	var unknown []string
	text = placePattern.ReplaceAllStringFunc(text, func(place string) string {
		name := placePattern.FindStringSubmatch(place)[1]
		v, ok := a.values[name]
		if !ok {
			unknown = append(unknown, name)
		}
		return v
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("there is no variable %s", strings.Join(unknown, ", "))
	}
	return text, nil
}

// ask gives the series of an answer that have a number to show.
func (a *asker) ask(q query) ([]row, error) {
	expr, err := a.fill(q.Expr)
	if err != nil {
		return nil, err
	}
	return a.answer(expr, q.Instant)
}

// answer is that to an expression in which the variables are in their places already: a name may have a dollar sign.
func (a *asker) answer(expr string, instant bool) ([]row, error) {
	path, values := "/api/v1/query", url.Values{"query": {expr}}
	if instant {
		values.Set("time", seconds(a.now))
	} else {
		path = "/api/v1/query_range"
		values.Set("start", seconds(a.now.Add(-a.span)))
		values.Set("end", seconds(a.now))
		values.Set("step", "1")
	}
	var result struct {
		Result []row `json:"result"`
	}
	if err := a.get(path, values, &result); err != nil {
		return nil, fmt.Errorf("%w: %s", err, expr)
	}
	return slices.DeleteFunc(result.Result, func(r row) bool {
		return math.IsNaN(r.Value.number()) && !slices.ContainsFunc(r.Values, func(p point) bool { return !math.IsNaN(p.number()) })
	}), nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

var (
	labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	queryResult = regexp.MustCompile(`^query_result\((.+)\)$`)
)

// options are what a variable has to choose from, asked for and picked as Grafana's data source does.
func (a *asker) options(v variable) ([]string, error) {
	text, err := a.fill(v.Query)
	if err != nil {
		return nil, err
	}
	if m := labelValues.FindStringSubmatch(text); m != nil {
		var values []string
		when := url.Values{"match[]": {m[1]}, "start": {seconds(a.now.Add(-a.span))}, "end": {seconds(a.now)}}
		err := a.get("/api/v1/label/"+m[2]+"/values", when, &values)
		return values, err
	}
	m := queryResult.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("this is no form that is known here: %s", text)
	}
	rows, err := a.answer(m[1], true)
	if err != nil {
		return nil, err
	}
	pick, err := regexp.Compile(strings.Trim(v.Regex, "/"))
	if err != nil {
		return nil, err
	}
	var values []string
	for _, r := range rows {
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(r.Metric)) {
			if name != "__name__" {
				labels = append(labels, name+`="`+r.Metric[name]+`"`)
			}
		}
		line := r.Metric["__name__"] + "{" + strings.Join(labels, ",") + "} 1 0"
		picked := pick.FindStringSubmatch(line)
		if picked == nil || pick.SubexpIndex("value") < 0 {
			return nil, fmt.Errorf("its regular expression picks nothing from %s", line)
		}
		values = append(values, picked[pick.SubexpIndex("value")])
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// special is what Grafana escapes in a value that is one of several.
var special = regexp.MustCompile(`[\\$^*{}\[\]'+?.()|]`)

// several is how Grafana writes the values of a variable that can have several: as a regular expression, in a string of PromQL.
func several(values []string) string {
	var escaped []string
	for _, v := range values {
		escaped = append(escaped, strings.ReplaceAll(special.ReplaceAllString(v, `\$0`), `\`, `\\`))
	}
	if len(escaped) == 1 {
		return escaped[0]
	}
	return "(" + strings.Join(escaped, "|") + ")"
}

// alone chooses each value of a variable that can have several by itself: the next variables then have something to choose from,
// whatever characters a name has.
func (a *asker) alone(variables []variable, offered map[string][]string) error {
	for i, v := range variables {
		if !v.Multi {
			continue
		}
		was := a.values[v.Name]
		for _, value := range offered[v.Name] {
			a.values[v.Name] = several([]string{value})
			for _, next := range variables[i+1:] {
				if !strings.Contains(next.Query, `"$`+v.Name+`"`) {
					continue
				}
				options, err := a.options(next)
				if err == nil && len(options) == 0 {
					err = errors.New("nothing is left")
				}
				if err != nil {
					return fmt.Errorf("%s from %s %q: %w", next.Name, v.Name, value, err)
				}
			}
		}
		a.values[v.Name] = was
	}
	return nil
}

// figures says what one panel shows while everything is chosen, a line for each series: its name in the legend, and its value.
func (a *asker) figures(all []board, place string, fixed map[string]string, out io.Writer) error {
	name, title, _ := strings.Cut(place, "/")
	for i := range all {
		for _, p := range all[i].Panels {
			if all[i].name != name || p.Title != title {
				continue
			}
			if _, err := a.choose(all[i].Templating.List, false, fixed); err != nil {
				return err
			}
			for _, q := range p.Targets {
				rows, err := a.ask(q)
				if err != nil {
					return err
				}
				for _, r := range rows {
					if _, err := fmt.Fprintf(out, "%s\t%.4f\n", legend(q.Legend, r.Metric), r.last()); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	return fmt.Errorf("there is no panel %s", place)
}

// choose gives every variable a value, in the order in which they stand, since a later one may ask for an earlier one: what is fixed by
// name, or all that there is, as "All" or one by one. It says what there was to choose from.
func (a *asker) choose(variables []variable, oneByOne bool, fixed map[string]string) (map[string][]string, error) {
	a.values = map[string]string{
		"__rate_interval": "10s", "__interval": "1s", "__range": fmt.Sprintf("%ds", int(a.span.Seconds())),
		"__from": strconv.FormatInt(a.now.Add(-a.span).UnixMilli(), 10),
	}
	offered := map[string][]string{}
	for _, v := range variables {
		if v.Type != "query" {
			continue
		}
		options, err := a.options(v)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		offered[v.Name] = options
		switch {
		case v.Multi && oneByOne && len(options) > 0:
			a.values[v.Name] = several(options)
		case v.IncludeAll:
			a.values[v.Name] = v.AllValue
		// What stands in a link is kept while there is nothing to choose from.
		case slices.Contains(options, fixed[v.Name]) || len(options) == 0 && fixed[v.Name] != "":
			a.values[v.Name] = fixed[v.Name]
		case len(options) > 0:
			a.values[v.Name] = options[0]
		default:
			a.values[v.Name] = ""
		}
	}
	return offered, nil
}
