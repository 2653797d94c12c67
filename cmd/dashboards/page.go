package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The sizes of Grafana's grid on a screen of 1366 pixels: 24 columns, and rows of 30 pixels with 8 between them.
const (
	gridWidth = 1334
	rowHeight = 38
	gap       = 8
	titleBar  = 28
)

// pageTemplate is a dashboard's grid. It is no picture of Grafana, which draws panels in its own way: it shows what fits where.
var pageTemplate = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<style>
body { margin: 0; background: #f4f5f5; color: #24292e; font: 13px/1.35 "DejaVu Sans", sans-serif; }
h1 { font-size: 16px; margin: 8px 16px; } h1 small { font-weight: normal; color: #666; margin-left: 1em; }
.vars { margin: 0 16px 8px; }
.vars span { background: #fff; border: 1px solid #ccc; padding: 2px 8px; margin-right: 8px; border-radius: 2px; display: inline-block; }
.vars b { color: #1f60c4; font-weight: 600; }
.grid { position: relative; margin: 0 16px; height: {{.Height}}px; }
.panel { position: absolute; background: #fff; border: 1px solid #d8d9da; border-radius: 2px; overflow: hidden; box-sizing: border-box; }
.panel h2 { font-size: 13px; font-weight: 600; margin: 5px 8px 2px; height: 19px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.row { position: absolute; font-weight: 600; padding-top: 6px; }
.stat { text-align: center; font-weight: 600; }
.none { text-align: center; color: #666; padding: 0 8px; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: 3px 8px; margin: 2px 8px; align-items: center; }
.bars i { display: block; height: 14px; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; font-size: 12px; }
td, th { text-align: left; border-bottom: 1px solid #eee; padding: 3px 8px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; margin: 2px 8px; font-size: 12px; }
.legend i { display: inline-block; width: 14px; height: 4px; margin-right: 5px; vertical-align: middle; }
</style>
<h1>{{.Title}} <small>the grid of its panels with what a real Prometheus answered; drawn by cmd/dashboards, not by Grafana</small></h1>
<p class="vars">{{range .Variables}}<span>{{.Name}} <b>{{.Value}}</b></span>{{end}}</p>
<div class="grid">
{{range .Cells}}{{if .Row}}<div class="row" style="left:{{.X}}px;top:{{.Y}}px">{{.Title}}</div>
{{else}}<section class="panel" style="left:{{.X}}px;top:{{.Y}}px;width:{{.W}}px;height:{{.H}}px"><h2>{{.Title}}</h2>{{.Body}}</section>
{{end}}{{end}}</div>
</html>
`))

type cell struct {
	X, Y, W, H int
	Row        bool
	Title      string
	Body       template.HTML
}

// page is a dashboard's grid with the answers to its queries in it.
func (b *board) page(a *asker, answers map[int][][]row) ([]byte, error) {
	type named struct{ Name, Value string }
	p := struct {
		Title     string
		Height    int
		Variables []named
		Cells     []cell
	}{Title: b.Title}
	for _, v := range b.Templating.List {
		value := a.values[v.Name]
		if value == ".*" {
			value = "All"
		}
		p.Variables = append(p.Variables, named{v.Label, cmp.Or(value, "Prometheus")})
	}
	for i := range b.Panels {
		q := &b.Panels[i]
		x, w := q.Grid.X*(gridWidth+gap)/24, q.Grid.W*(gridWidth+gap)/24-gap
		c := cell{X: x, Y: q.Grid.Y * rowHeight, W: w, H: q.Grid.H*rowHeight - gap, Row: q.Type == "row", Title: q.Title}
		if !c.Row {
			c.Body = template.HTML(q.draw(a, answers[q.ID], w, c.H-titleBar)) //nolint:gosec // every value in it is escaped
		}
		p.Cells, p.Height = append(p.Cells, c), max(p.Height, c.Y+c.H)
	}
	var page bytes.Buffer
	err := pageTemplate.Execute(&page, p)
	return page.Bytes(), err
}

// draw is what a panel shows, in a box of so many pixels.
func (p *panel) draw(a *asker, answers [][]row, w, h int) string {
	var rows []named
	for i, answer := range answers {
		for _, r := range answer {
			rows = append(rows, named{r, legend(p.Targets[i].Legend, r.Metric), i})
		}
	}
	if len(rows) == 0 {
		return fmt.Sprintf(`<p class="none" style="line-height:%dpx;margin:0">%s</p>`, h, esc(p.FieldConfig.Defaults.NoValue))
	}
	switch p.Type {
	case "stat":
		return p.drawStat(rows, w, h)
	case "bargauge":
		return p.drawBars(rows)
	case "table":
		return p.drawTable(answers, h)
	case "state-timeline":
		return p.drawTimeline(a, rows, w, h)
	}
	return p.drawSeries(a, rows, w, h)
}

// named is a series with what its legend calls it.
type named struct {
	row
	name  string
	query int
}

var labelPattern = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

func legend(format string, labels map[string]string) string {
	return labelPattern.ReplaceAllStringFunc(format, func(m string) string { return labels[labelPattern.FindStringSubmatch(m)[1]] })
}

func esc(s string) string { return template.HTMLEscapeString(s) }

// colour is that of a series by its name, or by its value.
func (p *panel) colour(name string, v float64) string {
	for _, o := range p.FieldConfig.Overrides {
		hit := o.Matcher.Options == name
		if o.Matcher.ID == "byRegexp" {
			// Go's regular expressions have no look-ahead; what comes first decides there.
			re, err := regexp.Compile(strings.ReplaceAll(strings.Trim(o.Matcher.Options, "/"), "(?!29)", ""))
			hit = err == nil && re.MatchString(name)
		}
		for _, prop := range o.Properties {
			var c colour
			if hit && prop.ID == "color" && json.Unmarshal(prop.Value, &c) == nil {
				return c.Fixed
			}
		}
	}
	d := p.FieldConfig.Defaults
	if d.Color.Fixed != "" {
		return d.Color.Fixed
	}
	found := "#8C959F"
	for _, s := range d.Thresholds.Steps {
		if s.Value == nil || v >= *s.Value {
			found = s.Color
		}
	}
	return found
}

// said is a value as the panel, or the column of it, says it, and the colour of its word.
func said(v float64, unit string, mappings []mapping) (string, string) {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	for _, m := range mappings {
		if o, ok := m.Options[text]; ok {
			return o.Text, o.Color
		}
	}
	switch unit {
	case "s":
		return span(v), ""
	case "percentunit":
		return fmt.Sprintf("%.1f%%", 100*v), ""
	case "bytes":
		return fmt.Sprintf("%.1f MiB", v/(1<<20)), ""
	case "reqps":
		return fmt.Sprintf("%.1f req/s", v), ""
	case "dateTimeAsLocal":
		return time.UnixMilli(int64(v)).UTC().Format("2006-01-02 15:04:05"), ""
	}
	if v == math.Trunc(v) {
		return text, ""
	}
	return strconv.FormatFloat(v, 'f', 1, 64), ""
}

func span(v float64) string {
	for _, u := range []struct {
		seconds float64
		name    string
	}{{86400, "days"}, {3600, "hours"}, {60, "mins"}} {
		if math.Abs(v) >= u.seconds {
			return fmt.Sprintf("%.1f %s", v/u.seconds, u.name)
		}
	}
	if math.Abs(v) < 1 && v != 0 {
		return fmt.Sprintf("%.0f ms", 1000*v)
	}
	return fmt.Sprintf("%.1f s", v)
}

func (r *row) last() float64 {
	if len(r.Values) > 0 {
		return r.Values[len(r.Values)-1].number()
	}
	return r.Value.number()
}

func (p *panel) drawStat(rows []named, w, h int) string {
	var out strings.Builder
	for i := range rows {
		v := rows[i].last()
		text, c := said(v, p.FieldConfig.Defaults.Unit, p.FieldConfig.Defaults.Mappings)
		switch p.Options.TextMode {
		case "name":
			text = rows[i].name
		case "value_and_name":
			text = rows[i].name + " " + text
		}
		size := min(34, h/2/len(rows), w*13/10/max(4, len(text)))
		fmt.Fprintf(&out, `<div class="stat" style="color:%s;font-size:%dpx;line-height:%dpx">%s</div>`,
			cmp.Or(c, p.colour(rows[i].name, v)), size, h/len(rows), esc(text))
	}
	return out.String()
}

func (p *panel) drawBars(rows []named) string {
	most := 0.0
	for i := range rows {
		most = max(most, rows[i].last())
	}
	var out strings.Builder
	out.WriteString(`<div class="bars">`)
	for i := range rows {
		v := rows[i].last()
		text, _ := said(v, p.FieldConfig.Defaults.Unit, nil)
		if p.FieldConfig.Defaults.Unit == "none" {
			text = strconv.FormatFloat(v, 'f', 0, 64)
		}
		c := p.colour(rows[i].name, v)
		fmt.Fprintf(&out, `<span>%s</span><span style="background:#eee"><i style="background:%s;width:%.1f%%"></i></span><b style="color:%s">%s</b>`,
			esc(rows[i].name), c, 100*v/max(most, 1e-9), c, text)
	}
	return out.String() + "</div>"
}

func (p *panel) drawTable(answers [][]row, h int) string {
	// Rows of several queries that have the same labels are one, as after the transformation merge.
	var lines []map[string]any
	byLabels := map[string]map[string]any{}
	for i, answer := range answers {
		for _, r := range answer {
			labels := map[string]any{}
			for k, v := range r.Metric {
				if k != "__name__" {
					labels[k] = v
				}
			}
			id := fmt.Sprint(labels)
			line := byLabels[id]
			if line == nil {
				line = labels
				byLabels[id], lines = line, append(lines, line)
			}
			name := "Value"
			if len(answers) > 1 {
				name += " #" + p.Targets[i].Ref
			}
			line[name] = r.last()
		}
	}
	t := p.Transformations[len(p.Transformations)-1].Options
	columns := make([]string, len(t.Index))
	for name, i := range t.Index {
		columns[i] = name
	}
	columns = slices.DeleteFunc(columns, func(c string) bool { return p.property(t.Rename[c], "custom.hideFrom") != nil })
	slices.SortStableFunc(lines, func(x, y map[string]any) int {
		for _, c := range columns {
			if v, ok := x[c].(float64); ok {
				other, _ := y[c].(float64)
				return cmp.Compare(other, v)
			}
		}
		return 0
	})
	var out strings.Builder
	out.WriteString("<table><tr>")
	for _, c := range columns {
		width := ""
		if v := p.property(t.Rename[c], "custom.width"); v != nil {
			width = fmt.Sprintf(` style="width:%spx"`, v)
		}
		fmt.Fprintf(&out, "<th%s>%s</th>", width, esc(t.Rename[c]))
	}
	for i, line := range lines {
		if (i+2)*24 > h {
			break
		}
		out.WriteString("</tr><tr>")
		for _, c := range columns {
			text, _ := line[c].(string)
			colour := ""
			if v, ok := line[c].(float64); ok {
				var unit string
				var m []mapping
				_ = json.Unmarshal(p.property(t.Rename[c], "unit"), &unit)
				_ = json.Unmarshal(p.property(t.Rename[c], "mappings"), &m)
				text, colour = said(v, unit, m)
			}
			if text == "" {
				_ = json.Unmarshal(p.property(t.Rename[c], "noValue"), &text)
			}
			if colour != "" {
				colour = ` style="color:` + colour + `"`
			}
			fmt.Fprintf(&out, "<td%s>%s</td>", colour, esc(text))
		}
	}
	return out.String() + "</tr></table>"
}

// property is what an override sets for a column; nil if none does.
func (p *panel) property(name, id string) json.RawMessage {
	for _, o := range p.FieldConfig.Overrides {
		for _, prop := range o.Properties {
			if o.Matcher.Options == name && prop.ID == id {
				return prop.Value
			}
		}
	}
	return nil
}

func (a *asker) x(at float64, w int) float64 {
	end := float64(a.now.UnixMilli()) / 1000
	return float64(w) * (1 - (end-at)/a.span.Seconds())
}

func (p *panel) drawTimeline(a *asker, rows []named, w, h int) string {
	const names = 230
	var out strings.Builder
	each := min(34, (h-8)/len(rows))
	fmt.Fprintf(&out, `<svg width="%d" height="%d">`, w, h)
	for i := range rows {
		y := i * each
		fmt.Fprintf(&out, `<text x="8" y="%d" font-size="12">%s</text>`, y+each/2+4, esc(rows[i].name))
		for _, v := range rows[i].Values {
			text, c := said(v.number(), "none", p.FieldConfig.Defaults.Mappings)
			x := names + a.x(v.at(), w-names-8)
			fmt.Fprintf(&out, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"><title>%s</title></rect>`,
				x, y+3, float64(w)/a.span.Seconds()+0.6, each-6, c, esc(text))
		}
	}
	return out.String() + "</svg>"
}

func (p *panel) drawSeries(a *asker, rows []named, w, h int) string {
	const left, foot = 76, 18
	stacked := p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	legendHeight := 22 * (1 + len(rows)*170/w)
	height := h - legendHeight - foot
	below, most := map[float64]float64{}, 0.0
	for i := range rows {
		for _, v := range rows[i].Values {
			n := v.number()
			if stacked {
				below[v.at()] += n
				n = below[v.at()]
			}
			if !math.IsNaN(n) && !math.IsInf(n, 0) {
				most = max(most, n)
			}
		}
	}
	if p.FieldConfig.Defaults.Max != nil {
		most = *p.FieldConfig.Defaults.Max
	}
	most = cmp.Or(most, 1)
	y := func(v float64) float64 { return 4 + float64(height)*(1-v/most) }
	var out, names strings.Builder
	fmt.Fprintf(&out, `<svg width="%d" height="%d" font-size="11" fill="#666">`, w, h-legendHeight)
	for _, share := range []float64{0, 0.5, 1} {
		text, _ := said(share*most, p.FieldConfig.Defaults.Unit, nil)
		fmt.Fprintf(&out, `<text x="%d" y="%.0f" text-anchor="end">%s</text><path d="M%d %.1fH%d" stroke="#e4e4e4"/>`,
			left-6, y(share*most)+4, text, left, y(share*most), w-8)
	}
	clear(below)
	for i := range rows {
		c := p.colour(rows[i].name, rows[i].last())
		if stacked {
			for _, v := range rows[i].Values {
				n, b := v.number(), below[v.at()]
				below[v.at()] += n
				fmt.Fprintf(&out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`,
					left+a.x(v.at(), w-left-8), y(b+n), float64(w-left)/a.span.Seconds()+0.4, float64(height)*n/most, c)
			}
		} else {
			var points strings.Builder
			for _, v := range rows[i].Values {
				if n := v.number(); !math.IsNaN(n) {
					fmt.Fprintf(&points, "%.1f,%.1f ", left+a.x(v.at(), w-left-8), y(min(n, most)))
				}
			}
			fmt.Fprintf(&out, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, points.String(), c)
		}
		text, _ := said(rows[i].last(), p.FieldConfig.Defaults.Unit, nil)
		fmt.Fprintf(&names, `<span><i style="background:%s"></i>%s <b>%s</b></span>`, c, esc(rows[i].name), text)
	}
	fmt.Fprintf(&out, `<text x="%d" y="%d">%s</text><text x="%d" y="%d" text-anchor="end">%s</text></svg>`,
		left, h-legendHeight-4, a.now.Add(-a.span).UTC().Format("15:04:05"), w-8, h-legendHeight-4, a.now.UTC().Format("15:04:05"))
	return out.String() + `<div class="legend">` + names.String() + "</div>"
}
