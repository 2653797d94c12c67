package metrics

import (
	"bytes"
	"cmp"
	"compress/flate"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// fleet is one snapshot as exposition text. It is never changed after it was made.
type fleet struct {
	snapshot *auditor.Snapshot
	// at is the instant that the text is about. staleAt is when it is no longer true, since evidence gets too old; zero for
	// never.
	at, staleAt time.Time
	// deflated is the text in DEFLATE blocks that end at a byte and of which none is the last, so that more can follow.
	deflated []byte
	// sum and size are the CRC-32 and the length of the text.
	sum  uint32
	size int
	// plain is the text itself; nil when it is larger than maxPlain. Then packed is the text in Zstandard, which is unpacked for
	// whoever wants it, faster than DEFLATE.
	plain, packed []byte
}

const (
	// maxPlain is the largest text that is also kept as it is, in bytes: that of about 4,000 accounts. Beyond it the memory is
	// worth more than the time to unpack it for the rare client that takes nothing compressed.
	maxPlain = 8 << 20
	// maxExcess is how many series of policy_excess an account may have.
	maxExcess = 50
	// chunk is how much text is gathered before it is compressed.
	chunk = 64 << 10
)

// stale says whether the text is no longer true, by the clock that says more: a suspended machine's monotonic clock stands
// still. What was written while the clock on the wall was ahead may not be true yet.
func (f *fleet) stale(now time.Time) bool {
	return now.Round(0).Before(f.at.Round(0)) ||
		!f.staleAt.IsZero() && (!now.Before(f.staleAt) || !now.Round(0).Before(f.staleAt.Round(0)))
}

// render writes a snapshot as it is at an instant. old is what was rendered before; nil for nothing.
func render(s *auditor.Snapshot, now time.Time, old *fleet) (*fleet, error) {
	w := &writer{table: crc32.IEEETable}
	if old != nil {
		w.deflated.Grow(len(old.deflated) + len(old.deflated)/8)
		w.plain = make([]byte, 0, len(old.plain)+len(old.plain)/8)
	}
	var err error
	if w.flate, err = flate.NewWriter(&w.deflated, compression); err != nil {
		return nil, err
	}
	w.snapshot(s, now)
	w.flush()
	w.try(w.flate.Flush)
	if w.zstd != nil {
		w.try(w.zstd.Close)
	}
	if w.err != nil {
		return nil, w.err
	}
	f := &fleet{
		snapshot: s, at: now, staleAt: s.StaleAt(now), deflated: bytes.Clone(w.deflated.Bytes()), sum: w.sum, size: w.size,
	}
	if w.zstd == nil {
		f.plain = w.plain
	} else {
		f.packed = bytes.Clone(w.packed.Bytes())
	}
	return f, nil
}

// compression is DEFLATE's level: the text repeats itself so much that the fastest one gets most of it.
const compression = flate.BestSpeed

// writer writes exposition text.
type writer struct {
	b        []byte
	flate    *flate.Writer
	deflated bytes.Buffer
	plain    []byte
	zstd     *zstd.Encoder // nil as long as there is no more than maxPlain
	packed   bytes.Buffer
	table    *crc32.Table
	sum      uint32
	size     int
	err      error
}

// flush compresses what was gathered.
func (w *writer) flush() {
	w.sum = crc32.Update(w.sum, w.table, w.b)
	w.size += len(w.b)
	w.write(w.flate)
	switch {
	case w.size <= maxPlain:
		w.plain = append(w.plain, w.b...)
	case w.zstd == nil:
		w.try(w.pack)
		fallthrough
	default:
		w.write(w.zstd)
	}
	w.b = w.b[:0]
}

// pack begins with Zstandard, now that there is too much to be kept as it is.
func (w *writer) pack() (err error) {
	w.zstd, err = zstd.NewWriter(&w.packed, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err == nil {
		_, err = w.zstd.Write(w.plain)
		w.plain = nil
	}
	return err
}

// try does one more thing, unless something has failed.
func (w *writer) try(do func() error) {
	if w.err == nil {
		w.err = do()
	}
}

// write writes what was gathered.
func (w *writer) write(to io.Writer) {
	w.try(func() error {
		_, err := to.Write(w.b)
		return err
	})
}

// family begins a metric.
func (w *writer) family(name, help string) {
	if len(w.b) > chunk {
		w.flush()
	}
	w.b = append(w.b, "# HELP "+namespace+"_"...)
	w.b = append(w.b, name+" "+help+"\n# TYPE "+namespace+"_"+name+" gauge\n"...)
}

// series begins a series: the name and the labels that are ready. More may follow by label, and then value ends it.
func (w *writer) series(name, labels string) {
	if len(w.b) > chunk {
		w.flush()
	}
	w.b = append(w.b, namespace+"_"...)
	w.b = append(w.b, name...)
	w.b = append(w.b, '{')
	w.b = append(w.b, labels...)
}

// label adds a label whose value has passed label, or is one of a closed list.
func (w *writer) label(name, value string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = appendLabel(w.b, name, value)
}

func (w *writer) value(n int) {
	w.b = append(w.b, "} "...)
	w.b = strconv.AppendInt(w.b, int64(n), 10)
	w.b = append(w.b, '\n')
}

func (w *writer) instant(t time.Time) {
	w.b = append(w.b, "} "...)
	w.b = strconv.AppendFloat(w.b, seconds(t), 'f', -1, 64)
	w.b = append(w.b, '\n')
}

// row is what one standing is at the instant of the rendering.
type row struct {
	*auditor.Standing
	labels string
	state  rules.State
	why    *rules.Unknown
}

// snapshot writes every metric of the fleet.
func (w *writer) snapshot(s *auditor.Snapshot, now time.Time) {
	counts := s.Count(now)
	w.family("accounts", "Accounts (with several baselines: account and agency) by state; they sum to accounts_expected.")
	for _, state := range rules.States() {
		w.series("accounts", "")
		w.label("state", string(state))
		w.value(counts[state])
	}
	w.family("accounts_expected", "Accounts (with several baselines: account and agency) that runs are expected to judge.")
	w.b = append(w.b, namespace+"_accounts_expected "...)
	w.b = strconv.AppendInt(w.b, int64(len(s.Standings)), 10)
	w.b = append(w.b, '\n')
	w.family("accounts_excluded", "Accounts that are left alone on purpose, by reason; they are not among accounts_expected.")
	excluded := auditor.CountExcluded(s.Excluded)
	for _, reason := range auditor.ExclusionReasons() {
		w.series("accounts_excluded", "")
		w.label("reason", string(reason))
		w.value(excluded[reason])
	}
	w.suspect(s)
	w.unresolvable(s, now)

	rows := make([]row, len(s.Standings))
	var b []byte
	for i := range s.Standings {
		st := &s.Standings[i]
		b = appendLabel(b[:0], "account", label(st.Account.Name))
		b = appendLabel(append(b, ','), "account_id", label(st.Account.ID))
		b = appendLabel(append(b, ','), "agency", label(st.Agency))
		state, why := st.At(now, s.MaxAge)
		rows[i] = row{st, string(b), state, why}
	}
	w.infos(rows, s.TagKeys)
	w.states(rows)
	w.grants(rows, now)
	w.agencies(rows)
	w.findings(rows, now)
	w.waivers(s, now)
}

func (w *writer) suspect(s *auditor.Snapshot) {
	if s.Run == nil {
		return
	}
	const name = "run_suspect"
	w.family(name, "Whether the last committed run should not be acted on: too much changed while reading failed.")
	w.b = append(w.b, namespace+"_"+name+" "...)
	w.b = strconv.AppendInt(w.b, int64(number(len(s.Run.Suspect) > 0)), 10)
	w.b = append(w.b, '\n')
}

func (w *writer) unresolvable(s *auditor.Snapshot, now time.Time) {
	const name = "baseline_policy_unresolvable"
	w.family(name, "1 while the site's catalogue lacks a policy that the baseline requires, 0 while it has it; a 1 stays and a 0 goes "+
		"while the catalogue cannot be read.")
	type key struct{ baseline, policy string }
	written := map[key]bool{}
	for i := range s.Catalogue {
		r := &s.Catalogue[i]
		k := key{label(r.Baseline), label(r.Policy)}
		if written[k] || !r.Counts(now, s.MaxAge) {
			continue
		}
		written[k] = true
		w.series(name, "")
		w.label("baseline", k.baseline)
		w.label("policy", k.policy)
		w.value(number(len(r.Lacking) > 0))
	}
}

// infos writes where each account belongs. Every series has every label: one without a value is none to Prometheus.
func (w *writer) infos(rows []row, keys []string) {
	w.family("account_info", "1, with the organizational unit of the account and its tags that the configuration chose, for joins and "+
		"routing.")
	names := tagLabels(keys)
	for i := range rows {
		w.series("account_info", rows[i].labels)
		w.label("ou", label(rows[i].Account.OU))
		for k, name := range names {
			value := ""
			for _, tag := range rows[i].Account.Tags {
				if tag.Key == keys[k] {
					value = label(tag.Value)
				}
			}
			w.label(name, value)
		}
		w.value(1)
	}
}

func (w *writer) states(rows []row) {
	w.family("account_state", "The account's state: of the five series exactly one is 1.")
	for i := range rows {
		for _, state := range rules.States() {
			w.series("account_state", rows[i].labels)
			w.label("state", string(state))
			w.value(number(state == rows[i].state))
		}
	}
	w.family("account_unknown", "1 while the account is unknown, with the reason.")
	for i := range rows {
		if rows[i].state == rules.StateUnknown {
			w.series("account_unknown", rows[i].labels)
			w.label("reason", string(rows[i].why.Reason))
			w.value(1)
		}
	}
	const read = "account_last_complete_read_timestamp_seconds"
	w.family(read, "When the reading began that the last evidence about the account rests on.")
	for i := range rows {
		if at := rows[i].ReadAt(); !at.IsZero() {
			w.series(read, rows[i].labels)
			w.instant(at)
		}
	}
}

func (w *writer) grants(rows []row, now time.Time) {
	w.family("policy_missing", "1 while a required grant is not satisfied, 0 while it is; a 1 stays and a 0 goes while the account is "+
		"unknown. From the last committed run.")
	for i := range rows {
		for _, c := range rows[i].Required {
			if c.Coverage.Satisfied() && rows[i].state == rules.StateUnknown {
				continue
			}
			w.series("policy_missing", rows[i].labels)
			w.label("policy", label(c.Policy))
			w.label("scope", string(c.Scope))
			w.value(number(!c.Coverage.Satisfied()))
		}
	}
	w.family("policy_excess", "Grants that the baseline does not have; they stay while the account is unknown. From the last committed "+
		"run.")
	dropped := make([]int, len(rows))
	for i := range rows {
		var list []excessSeen
		list, dropped[i] = excesses(rows[i].Findings, now)
		for _, e := range list {
			w.series("policy_excess", rows[i].labels)
			w.label("policy", e.policy)
			w.label("policy_id", e.id)
			w.label("scope", string(e.scope))
			w.label("kind", e.kind)
			w.label("risk", string(e.risk))
			w.value(e.grants)
		}
	}
	w.family("policy_excess_dropped", "Series of policy_excess of kind grant and impostor that nobody accepted and that are left "+
		"out, the least dangerous first.")
	for i := range rows {
		w.series("policy_excess_dropped", rows[i].labels)
		w.value(dropped[i])
	}
}

// excess is one series of policy_excess, by all of its labels.
type excess struct {
	policy, id string
	scope      rules.ScopeKind
	kind       string
	risk       rules.Risk
}

// excessSeen is such a series with how many grants it counts, and whether all of them are accepted.
type excessSeen struct {
	excess
	grants   int
	accepted bool
}

// noRisk is the risk of grants that carry none, being satisfied needs at another place.
const noRisk rules.Risk = "none"

var riskOrder = []rules.Risk{rules.RiskCritical, rules.RiskHigh, rules.RiskMedium, rules.RiskLow, noRisk}

// excessOf is the series that a finding counts in; its kind is empty when that is none.
func excessOf(f *rules.Finding) excess {
	e := excess{id: label(f.PolicyID), scope: f.Scope, risk: cmp.Or(f.Risk, noRisk), policy: policyLabel(f)}
	switch f.Rule {
	case rules.RuleExcess:
		e.kind = kindGrant
	case rules.RuleWider:
		e.kind = "wider"
	case rules.RuleRedundant:
		e.kind = "redundant"
	case rules.RuleImpostor:
		e.kind = kindImpostor
	}
	return e
}

// The kinds of grants that nobody agreed to.
const (
	kindGrant    = "grant"
	kindImpostor = "impostor"
)

// excesses are the series of an account's findings, those that nobody accepted and the most dangerous first, and how many more there
// were of grants that nobody agreed to or accepted. Findings that would be the same series are one.
func excesses(findings []rules.Finding, now time.Time) (list []excessSeen, dropped int) {
	at := map[excess]int{} // its place in the list
	for i := range findings {
		f := &findings[i]
		e := excessOf(f)
		if e.kind == "" {
			continue
		}
		n, known := at[e]
		if !known {
			n = len(list)
			at[e] = n
			list = append(list, excessSeen{excess: e, accepted: true})
		}
		list[n].grants += max(len(f.Grants), 1)
		list[n].accepted = list[n].accepted && f.WaivedAt(now)
	}
	slices.SortFunc(list, func(a, b excessSeen) int {
		return cmp.Or(
			cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.kind, b.kind), cmp.Compare(a.policy, b.policy), cmp.Compare(a.id, b.id),
			cmp.Compare(a.scope, b.scope),
		)
	})
	for _, e := range list[min(maxExcess, len(list)):] {
		if !e.accepted && (e.kind == kindGrant || e.kind == kindImpostor) {
			dropped++
		}
	}
	return list[:min(maxExcess, len(list))], dropped
}

// rank has the most dangerous first, and what is accepted after all that is not.
func (e *excessSeen) rank() int {
	rank := slices.Index(riskOrder, e.risk)
	if e.accepted {
		rank += len(riskOrder)
	}
	return rank
}

// policyLabel is the name of the policy that a finding is about, where that is one of a bounded set: the vendor's
// policies, and the names of the baseline, which is what an impostor bears.
func policyLabel(f *rules.Finding) string {
	origin := rules.System
	for _, g := range f.Grants {
		if g.Policy.Origin != rules.System {
			origin = g.Policy.Origin
		}
	}
	switch {
	case f.Rule == rules.RuleImpostor || origin == rules.System && f.Policy != "":
		return label(f.Policy)
	case origin == rules.Custom:
		return string(rules.Custom)
	}
	return string(rules.Unresolved)
}

// seen is one series about findings, by all of its labels, and what is known of them together.
type seen struct {
	rule, policy string
	scope        rules.ScopeKind
	since        time.Time
	waived       bool
}

// findings writes since when there are findings, and which of them are accepted. Findings that would be the same series are one,
// which is as old as the oldest of them, and accepted if all of them are.
func (w *writer) findings(rows []row, now time.Time) {
	all := make([][]seen, len(rows))
	for i := range rows {
		all[i] = rows[i].seen(now)
	}
	write := func(name, help string, one func(s *seen)) {
		w.family(name, help)
		for i := range rows {
			for j := range all[i] {
				s := &all[i][j]
				if name == "finding_waived" && !s.waived {
					continue
				}
				w.series(name, rows[i].labels)
				w.label("rule", s.rule)
				w.label("policy", s.policy)
				w.label("scope", string(s.scope))
				one(s)
			}
		}
	}
	write("finding_first_seen_timestamp_seconds", "When the reading began that first showed the finding, which none has refuted since.",
		func(s *seen) { w.instant(s.since) })
	write("finding_waived", "1 while the finding is accepted by a waiver.", func(*seen) { w.value(1) })
}

// seen are the series about the findings of a standing, the most severe first. Those about grants beside the baseline are of the series
// of policy_excess that are shown, and no others; the baseline bounds the rest, of which nothing is lost: that an agency ends soon, say.
func (r *row) seen(now time.Time) []seen {
	var list []seen
	var shown []excessSeen // nil when all are
	if len(r.Findings) > maxExcess {
		shown, _ = excesses(r.Findings, now)
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		if e := excessOf(f); shown != nil && e.kind != "" && f.Rule != rules.RuleWider &&
			!slices.ContainsFunc(shown, func(s excessSeen) bool { return s.excess == e }) {
			continue
		}
		s := seen{rule: f.Rule, scope: f.Scope, since: r.Since(f), waived: f.WaivedAt(now)}
		if f.Policy != "" || f.PolicyID != "" {
			s.policy = policyLabel(f)
		}
		n := slices.IndexFunc(list, func(o seen) bool { return o.rule == s.rule && o.policy == s.policy && o.scope == s.scope })
		if n < 0 {
			list = append(list, s)
			continue
		}
		list[n].waived = list[n].waived && s.waived
		if s.since.Before(list[n].since) {
			list[n].since = s.since
		}
	}
	return list
}

// waivers writes when waivers end, and which of them accept nothing.
func (w *writer) waivers(s *auditor.Snapshot, now time.Time) {
	uses := s.WaiverUses(now)
	w.family("waiver_expiry_timestamp_seconds", "When the waiver ends, or has ended.")
	for i := range uses {
		w.series("waiver_expiry_timestamp_seconds", "")
		w.label("waiver", label(uses[i].ID))
		w.instant(uses[i].Expires)
	}
	w.family("waiver_unused", "1 while there is no finding that the waiver is about, 0 while there is one; absent while that is not known.")
	for i := range uses {
		if u := &uses[i]; u.Findings > 0 || u.Known {
			w.series("waiver_unused", "")
			w.label("waiver", label(u.ID))
			w.value(number(u.Findings == 0))
		}
	}
}

func (w *writer) agencies(rows []row) {
	w.family("agency_trust_mismatch", "1 while the agency trusts another account than it should, 0 while it does not; a 1 stays and a 0 "+
		"goes while the account is unknown.")
	for i := range rows {
		mismatch := rows[i].has(rules.RuleTrustMismatch)
		if mismatch || rows[i].state != rules.StateUnknown && rows[i].agency() != nil {
			w.series("agency_trust_mismatch", rows[i].labels)
			w.value(number(mismatch))
		}
	}
	const expiry = "agency_expiry_timestamp_seconds"
	w.family(expiry, "When the agency ends; absent when it never does. While the account is unknown only an end that is a finding stays.")
	for i := range rows {
		agency := rows[i].agency()
		if agency == nil || agency.ExpiresAt.IsZero() {
			continue
		}
		if rows[i].state != rules.StateUnknown || rows[i].has(rules.RuleExpired) || rows[i].has(rules.RuleExpiring) {
			w.series(expiry, rows[i].labels)
			w.instant(agency.ExpiresAt)
		}
	}
}

func (r *row) has(rule string) bool {
	return slices.ContainsFunc(r.Findings, func(f rules.Finding) bool { return f.Rule == rule })
}

// agency is what evidence said of the agency last; nil when it is absent or nothing is known.
func (r *row) agency() *rules.Agency {
	if r.Evidence == nil {
		return nil
	}
	return r.Evidence.Report.Agency
}

func number(is bool) int {
	if is {
		return 1
	}
	return 0
}
