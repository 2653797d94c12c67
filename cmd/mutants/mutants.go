package main

// mutants are the mistakes, in the order of an answer's way: wire, lists, planes, evidence, judgement, memory, metrics, exceptions, history, steps.
// mutants are the mistakes, in the order of an answer's way: wire, lists, planes, evidence, judgement, memory, metrics, exceptions, history, ledger.
var mutants = []mutant{
	// The wire: what may be believed at all.
	{
		name: "any-success-counts", what: "every status of success were taken for the documented one",
		file: "auditor/huawei/wire.go",
		old:  `if resp.StatusCode != want.status {`, new: `if resp.StatusCode >= 300 {`,
	},
	{
		name: "content-type-ignored", what: "a page of HTML were decoded like JSON",
		file: "auditor/huawei/wire.go",
		old:  `len(kinds) != 1 || !isJSON(kinds[0])`, new: `len(kinds) > 9 || len(kinds) == 0 && isJSON("")`,
	},
	{
		name: "encoding-ignored", what: "compressed content were taken as it is",
		file: "auditor/huawei/wire.go",
		old:  `coding != "" && !strings.EqualFold(coding, "identity")`, new: `coding == "never" && !strings.EqualFold(coding, "identity")`,
	},
	{
		name: "nothing-is-empty", what: "an answer without the list were an empty list",
		file: "auditor/huawei/envelope.go",
		old:  `seen&(1<<n) == 0 && !m.inner[n].optional`, new: `seen&(1<<n) == 0 && m.inner[n].name == ""`,
	},
	{
		name: "null-is-empty", what: "null were an empty list",
		file: "auditor/huawei/operation.go",
		old:  `{name: "role_assignments", kinds: "[", rows`, new: `{name: "role_assignments", kinds: "[n", rows`,
	},
	{
		name: "error-envelope-believed", what: "an error with status 200 were a result",
		file: "auditor/huawei/envelope.go",
		old:  `case "error", "error_code", "error_msg":`, new: `case "no such member":`,
	},
	{
		name: "last-duplicate-wins", what: "of two members with one name the last were taken",
		file: "auditor/huawei/envelope.go",
		old:  `if w.same(name, other) {`, new: `if len(name) > maxName && w.same(name, other) {`,
	},
	{
		name: "rest-is-an-answer", what: "what a server sends after an answer were taken for the next one",
		file: "auditor/huawei/cloud.go",
		old:  `transport: drainedLines{transport}`, new: `transport: transport`,
	},
	{
		name: "library-logs", what: "the library that reads answers wrote to stderr what it makes of them",
		file: "cmd/agencyaudit/main.go",
		old:  `slog.SetDefault(slog.New(slog.DiscardHandler))`, new: `_ = slog.DiscardHandler`,
	},
	// Manners: what is sent again, and who waits.
	{
		name: "one-pause-for-all", what: "the pause that the cloud asks for about one account were everybody's",
		file: "auditor/huawei/access.go",
		old:  `w.account, w.about = account.ID, &d.respite`, new: `w.account = account.ID`,
	},
	{
		name: "refused-key-sent-again", what: "a request were sent again with a key that was refused",
		file: "auditor/huawei/wire.go",
		old:  `w.stop(errKeyRefused)`,
		new:  `_, _, _ = w.exchange(o, req.WithContext(ctx)); w.stop(errKeyRefused)`,
	},
	{
		name: "retries-without-end", what: "a cloud that is sick were asked again without measure",
		file: "auditor/huawei/manners.go",
		old:  `passing(f) && failures < c.pauses.retries:`, new: `passing(f) && failures < 1000:`,
	},
	{
		name: "throttled-is-refused", what: "an account that is throttled were given up at once",
		file: "auditor/huawei/manners.go",
		old:  "case f.status == http.StatusTooManyRequests:\n\t\t\tmost :=",
		new:  "case f.status == http.StatusTooManyRequests && throttled < 0:\n\t\t\tmost :=",
	},
	{
		name: "budget-not-charged", what: "one account could ask for ever",
		file: "auditor/huawei/manners.go",
		old:  `if p.requests.Add(1) > p.mostRequests {`, new: `if p.requests.Add(1) < 0 {`,
		hangs: true,
	},
	// Lists: whether they are whole.
	{
		name: "first-page-of-agencies", what: "only the first page of a list with page numbers were read",
		file: "auditor/huawei/pages.go",
		old:  `bare && l.enough != nil && l.enough(rows):`, new: `bare:`,
	},
	{
		name: "short-page-ends", what: "a page shorter than asked for were the last one",
		file: "auditor/huawei/observe.go",
		old:  `return name != "" && len(rows) < agenciesPerPage &&`, new: `return len(rows) < agenciesPerPage || name != "" &&`,
	},
	{
		name: "first-page-of-grants", what: "the first page of grants were all of them, and the count were not looked at",
		file: "auditor/huawei/pages.go",
		old:  `case got.counted && len(all) == total:`, new: `case got.counted:`,
	},
	{
		name: "first-page-of-identity", what: "the marker of a next page of identity policies were not followed",
		file: "auditor/huawei/pages.go",
		old:  `case got.marked && got.marker == "",`, new: `case got.marked,`,
	},
	{
		name: "counts-not-compared", what: "the count of identity policies were not compared with the rows",
		file: "auditor/huawei/planes.go",
		old:  `n != len(rows) {`, new: `n < 0 {`,
	},
	{
		name: "rows-twice", what: "a row that comes twice were counted twice",
		file: "auditor/huawei/pages.go",
		old:  `case before == page:`, new: "case before == page || before > 0:\n\t\t\tcontinue\n\t\tcase before < 0:",
	},
	// Planes: the five places, and what refusals mean.
	{
		name: "no-enterprise-projects", what: "grants in enterprise projects were not read",
		file: "auditor/huawei/planes.go",
		old:  "scope: \"enterprise_project\", read: (*sweep).assignments}",
		new: "scope: \"enterprise_project\", read: func(_ *sweep, p *plane, _ string) (rules.Plane, error) {\n" +
			"\t\t\treturn rules.Plane{Kind: p.kind, State: rules.PlaneRead}, nil\n\t\t}}",
	},
	{
		name: "no-identity-policies", what: "attached identity policies were not read",
		file: "auditor/huawei/planes.go",
		old:  `read: (*sweep).attached},`,
		new: "read: func(_ *sweep, p *plane, _ string) (rules.Plane, error) {\n" +
			"\t\t\treturn rules.Plane{Kind: p.kind, State: rules.PlaneRead}, nil\n\t\t}},",
	},
	{
		name: "inherited-not-compared", what: "grants for all resources were taken for grants for global services",
		file: "auditor/huawei/planes.go",
		old:  `case r.IsInherited != nil && *r.IsInherited != inherited:`, new: `case r.IsInherited != nil && *r.IsInherited != inherited && what != "":`,
	},
	{
		name: "denied-is-absent", what: "a refused plane were a plane that does not exist",
		file: "auditor/huawei/planes.go",
		old:  `return f.status == 404 && f.code == notPublished && f.page <= 1 &&`,
		new:  `return (f.status == 403 || f.status == 404 && f.code == notPublished) && f.page <= 1 &&`,
	},
	{
		name: "any-404-is-absent", what: "every 404 meant that a plane does not exist",
		file: "auditor/huawei/planes.go",
		old:  `return f.status == 404 && f.code == notPublished && f.page <= 1 &&`, new: `return f.status == 404 &&`,
	},
	{
		name: "plane-error-swallowed", what: "a plane that could not be read were left empty (as Gatekeeper's audit left kinds out)",
		file: "auditor/huawei/planes.go",
		old:  "return s.fail(p.op(), p.doing(), err)\n\t})",
		new:  "planes[i] = rules.Plane{Kind: p.kind, State: rules.PlaneRead}\n\t\treturn nil\n\t})",
	},
	{
		name: "timeout-is-absent", what: "an agency list that did not come in time were a list without the agency (as Custodian's tags were)",
		file: "auditor/huawei/observe.go",
		old:  `if o.Listed, o.ListRequestIDs, err = s.agencies(b.Agency); err != nil {`,
		new:  `if o.Listed, o.ListRequestIDs, err = s.agencies(b.Agency); err != nil && asUnknown(err).Reason != rules.ReasonTimeout {`,
	},
	{
		name: "denied-list-is-absent", what: "a refused list of agencies were a list without the agency",
		file: "auditor/huawei/observe.go",
		old:  `if o.Listed, o.ListRequestIDs, err = s.agencies(b.Agency); err != nil {`,
		new: "if o.Listed, o.ListRequestIDs, err = s.agencies(b.Agency); err != nil && asUnknown(err).Reason == rules.ReasonDenied {\n" +
			"\t\to.UnfilteredAsked = true\n\t\treturn o, nil\n\t}\n\tif err != nil {",
	},
	{
		name: "absence-on-one-word", what: "the list by name alone said that there is no agency",
		file: "auditor/huawei/observe.go",
		old:  `if o.Unfiltered, ids, err = s.agencies(""); err != nil {`, new: `if o.Unfiltered, ids, err = o.Listed, nil, nil; err != nil {`,
	},
	{
		name: "whose-key-not-asked", what: "another account's key could say that there is no agency",
		file: "auditor/huawei/observe.go",
		old:  `if len(ids) == 1 && ids[0] == s.account.ID || len(ids) == 0 && !certain {`, new: `if len(ids) > 0 || !certain {`,
	},
	{
		name: "foreign-rows", what: "rows of another agency were this agency's",
		file: "auditor/huawei/planes.go",
		old:  `case r.Agency == nil || deref(r.Agency.Id) != agencyID:`, new: `case r.Agency == nil:`,
	},
	{
		name: "unreadable-end-is-never", what: "an end of validity that cannot be read meant for ever",
		file: "auditor/huawei/observe.go",
		old:  `return item("the end of the agency's validity: %v", err)`, new: `a.ExpiresAt = rules.Agency{}.ExpiresAt`,
	},
	{
		name: "missing-policy-on-one-word", what: "a policy that IAM did not find once were one that nobody can name",
		file: "auditor/huawei/catalogue.go",
		old:  `if resp, requestID, err = ask(); err != nil && missing(err) {`, new: `if missing(err) {`,
	},
	// The organization: whether the list of accounts is whole.
	{
		name: "short-list-believed", what: "an account that the flat list leaves out, and a unit shows, did not matter", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  `return is, l.moving(rules.ReasonDisagree, "an organizational unit shows account %s, and the list of accounts does not", id)`,
		new:  `continue`,
	},
	{
		name: "tree-not-asked", what: "an account that no unit shows did not matter", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  `leaf, ok := tree[m.ID]`, new: "leaf, ok := tree[m.ID]\n\t\tif !ok {\n\t\t\tcontinue\n\t\t}",
	},
	{
		name: "organization-read-once", what: "an organization that changes while it is read were not read again", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  "if is, err = l.read(); isMoving(err) {\n\t\tc.log.Info(", new: "if is, err = l.read(); isMoving(err) && err == nil {\n\t\tc.log.Info(",
	},
	{
		name: "own-accounts-not-missed", what: "a list without the management account and the auditor's own were whole", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  `for _, id := range []string{is.ManagementAccountID, l.cloud.main.AccountID} {`, new: `for _, id := range []string{} {`,
	},
	{
		name: "first-page-of-accounts", what: "the marker of a next page of accounts were not followed", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  `got.marker, got.marked = info.NextMarker, true`, new: `got.marker, got.marked = "", true`,
	},
	{
		name: "count-of-accounts-ignored", what: "the count of a page of accounts were not compared with its rows", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  `n != len(got.rows) {`, new: `n < 0 {`,
	},
	{
		name: "marker-loop-not-seen", what: "a marker that leads back were followed again", by: "lists",
		file: "auditor/huawei/pages.go",
		old:  `if _, ok := markers[marker]; ok {`, new: `if _, ok := markers[marker]; ok && page < 0 {`,
	},
	{
		name: "two-roots", what: "of two roots the first were taken", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  `if len(roots) != 1 {`, new: `if len(roots) == 0 {`,
	},
	{
		name: "tags-for-ever", what: "the tags of an account were read once and never again", by: "organization",
		file: "auditor/huawei/organization.go",
		old:  `!c.now().Before(fresh[i].at.Add(tagsAge))`, new: `c.now().Before(fresh[i].at)`,
	},
	// The inventory: that it is never smaller by accident.
	{
		name: "refused-organization-is-none", what: "an organization that may not be listed had no accounts that could be missing", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `return append(gaps, gap), gone`, new: `return append(gaps, gap)[:len(gaps)], gone`,
	},
	{
		name: "sudden-loss-believed", what: "a list that lost many accounts at once were believed", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `if missing > 1 && missing*shortPart > there && r.short < keep {`, new: `if missing > there && r.short < keep {`,
	},
	{
		name: "vanished-at-once", what: "an account that the organization does not list any more were forgotten at once", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `if e.missed++; e.missed > keep {`, new: `if e.missed++; e.missed > 0 {`,
	},
	{
		name: "vanished-for-ever", what: "an account that has left stayed for ever", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `if e.missed++; e.missed > keep {`, new: `if e.missed++; e.missed < 0 {`,
	},
	{
		name: "faulty-file-ignored", what: "a file of accounts with a fault were as good as the one before", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `case v.fileFault != nil:`, new: `case v.fileFault != nil && v.filed == nil:`,
	},
	{
		name: "excluded-not-counted", what: "an account that is left alone were not told", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `l.Excluded = append(l.Excluded, auditor.Exclusion{Account: c.account, Reason: why, Detail: detail})`, new: `_ = detail`,
	},
	{
		name: "unread-tags-exclude", what: "accounts whose tags were not asked for lacked the tag", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `} else if tagged {`, new: `} else {`,
	},
	{
		name: "unknown-status-is-active", what: "an account in a state that nobody knows were like any other", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `case statusActive:`, new: "case \"\":\n\tdefault:",
	},
	{
		name: "reload-forgets", what: "a reload forgot which accounts there were", by: "inventory",
		file: "auditor/daemon/engine.go",
		old:  `e.memory = from.memory`, new: `e.memory = &memory{}`,
	},
	{
		name: "other-organization-inherits", what: "the accounts of one organization were expected of another", by: "inventory",
		file: "auditor/daemon/inventory.go",
		old:  `next = roll[huawei.Member]{} // of this one nothing is known yet`, new: `another = false`,
	},
	// Access: whose keys, and for how long.
	{
		name: "session-of-another", what: "a key of STS were used whoever's session it is", by: "access",
		file: "auditor/huawei/access.go",
		old:  `session.Urn != want {`, new: `session.Urn == "" && want != "" {`,
	},
	{
		name: "external-id-not-sent", what: "a trust agency were assumed without its external id", by: "access",
		file: "auditor/huawei/access.go",
		old:  `if a.ExternalID != "" {`, new: `if a.ExternalID == "never" {`,
	},
	{
		name: "keys-past-their-end", what: "assumed keys were used after their end", by: "access",
		file: "auditor/huawei/access.go",
		old:  `if p.keys.IsZero() || !c.now().Before(p.expires.Add(-expiryMargin)) {`, new: `if p.keys.IsZero() {`,
	},
	{
		name: "sts-keys-last-as-they-say", what: "keys of STS lasted longer than was asked for", by: "access",
		file: "auditor/huawei/access.go",
		old:  `p.expires.After(asked.Add(lasting)) {`, new: `p.expires.IsZero() {`,
	},
	{
		name: "entered-account-not-asked", what: "it were not asked whose the keys are that IAM made for an account", by: "access",
		file: "auditor/huawei/access.go",
		old:  `if !blind && !p.placed {`, new: `if !blind && p.keys.IsZero() {`,
	},
	{
		name: "main-identity-of-anybody", what: "the main identity were whoever its key belongs to", by: "access",
		file: "auditor/huawei/cloud.go",
		old:  `if len(ids) != 1 || ids[0] != m.AccountID {`, new: `if len(ids) != 1 {`,
	},
	{
		name: "fetched-key-not-asked-about", what: "a key that a server hands out anew were used without asking whose it is", by: "access",
		file: "auditor/huawei/cloud.go",
		old:  `if u == nil && (changed || !sure) {`, new: `_ = changed; if u == nil && !sure {`,
	},
	{
		name: "fetched-key-without-end", what: "a key that a server hands out lasted as long as it says", by: "access",
		file: "auditor/huawei/source.go",
		old:  `if latest := now.Add(longestKeys); p.expires.After(latest) {`, new: `if latest := now.Add(longestKeys); latest.IsZero() {`,
	},
	{
		name: "half-a-fetched-key", what: "a key that lacks its token were a permanent one", by: "access",
		file: "auditor/huawei/source.go",
		old:  `if !printable(parts[i], maxKeyText) {`, new: `if i == 0 && !printable(parts[i], maxKeyText) {`,
	},
	{
		name: "source-anywhere", what: "a name could lead to another address than the metadata service's", by: "access",
		file: "auditor/huawei/source.go",
		old:  `if err != nil || !o.only(ap.Addr().Unmap()) {`, new: `if err != nil || !ap.IsValid() {`,
	},
	{
		name: "plain-http-accepted", what: "keys were sent over plain http to any host", by: "access",
		file: "auditor/huawei/config.go",
		old:  `if u.Scheme == "http" && !p.loopback {`, new: `if u.Scheme == "ftp" && !p.loopback {`,
	},
	{
		name: "link-local-accepted", what: "a service of the cloud could be at a metadata service's address", by: "access",
		file: "auditor/huawei/config.go",
		old:  `case ip.IsLinkLocalUnicast(), inner.IsLinkLocalUnicast():`, new: `case ip.IsLinkLocalUnicast() && ip.IsLoopback():`,
	},
	{
		name: "one-key-for-two-accounts", what: "two accounts could have one key", by: "configuration",
		file: "auditor/daemon/config_check.go",
		old:  `case twice && first.id != id:`, new: `case twice && first.id == "":`,
	},
	{
		name: "main-key-for-any-account", what: "the main identity's key could be another account's", by: "configuration",
		file: "auditor/daemon/config_check.go",
		old:  `case key == main.Keys.AccessKey && id != main.AccountID:`, new: `case key == main.Keys.AccessKey && id == "":`,
	},
	{
		name: "readable-secret-accepted", what: "a secret that everybody on the machine can read were taken", by: "configuration",
		file: "auditor/daemon/config_files.go",
		old:  `mode&forbidden != 0 {`, new: `mode&forbidden == 0o777 {`,
	},
	{
		name: "profile-key-twice", what: "of two keys of one name in a profile the first were taken", by: "configuration",
		file: "auditor/daemon/config_sources.go",
		old:  `case len(key.ValueWithShadows()) > 1 || last.Key(name).Value() != value:`,
		new:  `case len(key.ValueWithShadows()) < 0 && last.Key(name).Value() != value:`,
	},
	{
		name: "profile-of-another", what: "a profile could be another account's", by: "configuration",
		file: "auditor/daemon/config_sources.go",
		old:  `is && id != accountID {`, new: `is && id == "" {`,
	},
	// Secrets, and what a doctor says.
	{
		name: "secret-encodes", what: "a secret that is encoded as JSON showed what it is", by: "access",
		file: "auditor/huawei/secret.go",
		old:  "func (Secret) MarshalJSON() ([]byte, error) { return []byte(`\"` + hidden + `\"`), nil }",
		new:  "func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`\"` + s.reveal() + `\"`), nil }",
	},
	{
		name: "anything-is-sent", what: "whatever request is made were sent, one that writes too", by: "doctor",
		file: "auditor/huawei/wire.go",
		old:  `if !ok || req.URL.Scheme`, new: `if false && !ok || req.URL.Scheme`,
	},
	{
		name: "doctor-skips-a-permission", what: "a doctor tried all permissions but one", by: "doctor",
		file: "auditor/huawei/probe.go",
		old:  `each := []func(){s.grants, s.identity, s.globalWitness, s.inheritedWitness, s.policies}`,
		new:  `each := []func(){s.grants, s.identity, s.globalWitness, func() { s.try(opInheritedRoles).Outcome = auditor.TryOK }, s.policies}`,
	},
	{
		name: "doctor-well-without-list", what: "a doctor found all well while accounts may be missing", by: "auditor",
		file: "auditor/doctor.go",
		old:  `return d.Main == nil && len(d.Gaps) == 0 &&`, new: `return d.Main == nil &&`,
	},
	{
		name: "secret-prints", what: "a secret that is printed showed what it is",
		file: "auditor/huawei/secret.go",
		old:  `func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }`,
		new:  `func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.reveal()) }`,
	},
	{
		name: "doctor-takes-any-key", what: "a doctor went on with a key of another account",
		file: "auditor/huawei/probe.go",
		old:  "note(s.p.Tries[2:], \"whose the key is, is not certain\")\n\t\treturn\n", new: "",
	},
	{
		name: "doctor-takes-not-found-for-allowed", what: "whatever a doctor does not find were allowed",
		file: "auditor/huawei/probe.go",
		old:  `if id != nobody || f.status != http.StatusNotFound || f.code == notPublished {`, new: `if f.status != http.StatusNotFound {`,
	},
	// Evidence and judgement.
	{
		name: "one-of-two-agencies", what: "of two agencies with one name the first were taken",
		file: "rules/evidence.go",
		old:  "if found != nil {\n\t\t\treturn nil, unknown(ReasonAmbiguous,", new: "if found != nil && found.ID == \"\" {\n\t\t\treturn nil, unknown(ReasonAmbiguous,",
	},
	{
		name: "witness-not-heard", what: "the second witness were asked and not listened to",
		file: "rules/evidence.go",
		old:  `if !slices.Equal(slices.Compact(ids), slices.Compact(witness)) {`, new: `if len(witness) < 0 {`,
	},
	{
		name: "change-on-one-word", what: "a plane that differs from the last evidence needed no second witness",
		file: "rules/last.go",
		old:  `p.Pages > 1 || l.Known && !sameGrants(l.grants(p.Kind), p.Grants)`, new: `p.Pages > 1`,
	},
	{
		name: "several-pages-on-one-word", what: "a plane of several pages that is as it was needed no second witness",
		file: "rules/last.go",
		old:  `p.Pages > 1 || l.Known &&`, new: `p.Pages > 1 && !l.Known || l.Known &&`,
	},
	{
		name: "plane-read-before-is-absent", what: "a plane that was read, and was empty, were absent when a gateway says so",
		file: "rules/last.go",
		old:  `if p.State == PlaneAbsent && l.Known && l.read(p.Kind) {`,
		new:  `if p.State == PlaneAbsent && l.Known && l.read("") {`,
	},
	{
		name: "second-reading-not-compared", what: "a plane were read again and not compared",
		file: "rules/evidence.go",
		old:  `if !sameGrants(p.Grants, p.Again) {`, new: `if p.Kind == "" && !sameGrants(p.Grants, p.Again) {`,
	},
	{
		name: "lost-api-takes-grants-away", what: "a plane that the gateway lost were a plane whose grants are gone",
		file: "rules/evidence.go",
		old:  `if needsWitness {`, new: `if needsWitness && p.Kind == "" {`,
	},
	{
		name: "compared-by-name", what: "a custom policy that bears the name of a required one satisfied it",
		file: "rules/evaluate.go",
		old:  `if g.Policy.Origin != System || !req.accepts(g.Policy.Name) {`, new: `if !req.accepts(g.Policy.Name) {`,
	},
	{
		name: "names-by-prefix", what: "a policy whose name begins like the required one satisfied it",
		file: "rules/baseline.go",
		old:  `return name == r.Policy ||`, new: `return len(name) > 2 && len(r.Policy) > 2 && name[:3] == r.Policy[:3] ||`,
	},
	{
		name: "scope-ignored", what: "a policy at one project were as good as one at all resources",
		file: "rules/evaluate.go",
		old:  `case g.Scope.Kind == req.Scope:`, new: `case g.Scope.Kind == req.Scope || req.Scope.contains(g.Scope.Kind):`,
	},
	{
		name: "trust-by-prefix", what: "a trusted account whose name begins like the right one were the right one",
		file: "rules/rule_trust_mismatch.go",
		old:  `isASCII(a) && isASCII(b) && strings.EqualFold(a, b)`, new: `isASCII(a) && isASCII(b) && strings.EqualFold(a[:min(len(a), len(b))], b[:min(len(a), len(b))])`,
	},
	{
		name: "trust-id-not-compared", what: "the pinned id of the trusted account were not compared",
		file: "rules/rule_trust_mismatch.go",
		old:  `case want.ID != "" && got.ID != want.ID:`, new: `case want.ID != "" && got.ID == "":`,
	},
	// Memory and metrics.
	{
		name: "stale-stays-green", what: "evidence of yesterday were as good as today's",
		file: "auditor/snapshot.go",
		old:  `case age(now, st.ReadAt()) >= maxAge:`, new: `case age(now, st.ReadAt()) < 0:`,
	},
	{
		name: "bad-news-forgotten", what: "an account that cannot be read had no findings any more",
		file: "auditor/snapshot.go",
		old:  "if !sweep.HasEvidence() {\n\t\treturn\n\t}", new: "if !sweep.HasEvidence() {\n\t\tst.Required, st.Findings = nil, nil\n\t\treturn\n\t}",
	},
	{
		name: "unread-run-is-complete", what: "a run with unread accounts were complete",
		file: "auditor/run.go",
		old:  "\t\t\trun.Complete = false\n", new: "\t\t\trun.Complete = true\n",
	},
	{
		name: "unswept-keeps-state", what: "an account that a run left out stayed what it was",
		file: "auditor/snapshot.go",
		old:  `st.take(unswept(st.Subject, run), baselines[st.Baseline].Required)`,
		new:  "if st.Last == nil {\n\t\t\tst.take(unswept(st.Subject, run), baselines[st.Baseline].Required)\n\t\t}",
	},
	{
		name: "green-while-unknown", what: "the metrics kept good news of an account that cannot be read",
		file: "auditor/metrics/fleet.go",
		old:  `if c.Coverage.Satisfied() && rows[i].state == rules.StateUnknown {`, new: `if c.Coverage.Satisfied() && rows[i].state == "" {`,
	},
	// Exceptions: what was accepted, and until when.
	{
		name: "exception-never-expires", what: "a waiver held for ever", by: "core",
		file: "rules/waiver.go",
		old:  `return !now.Before(w.Added) && now.Before(w.Expires)`, new: `return !now.Before(w.Added)`,
	},
	{
		name: "exception-until-next-run", what: "a waiver that ends between two runs held until the next one", by: "core",
		file: "rules/waiver.go",
		old:  `return f.Waived != nil && now.Before(f.Waived.Expires)`, new: `return f.Waived != nil`,
	},
	{
		name: "exception-of-any-trust", what: "a waiver of a wrong trust held whomever the agency trusts", by: "core",
		file: "rules/waiver.go",
		old:  `(f.Rule != RuleTrustMismatch || f.Trusts != "" && slices.Contains(w.Trusts, f.Trusts))`, new: `(f.Rule != RuleTrustMismatch || len(w.Trusts) > 0)`,
	},
	{
		name: "exception-of-an-earlier-trust", what: "a wrong trust that was accepted stayed so when it goes to an account that the cloud does not name", by: "auditor",
		file: "auditor/snapshot.go",
		old:  `if r.Agency.Trust.Name == "" {`, new: `if r.Agency.Trust.Name == "" && r.Agency.Trust.ID == "" {`,
	},
	{
		name: "exception-remembered", what: "what a history says was accepted were accepted still", by: "past",
		file: "auditor/daemon/past.go",
		old:  `was).Accept(cfg.LoadedWaivers(), d.options.Now())`, new: `was)`,
	},
	// Restarts: what is known before anything was read.
	{
		name: "green-over-a-restart", what: "what was right before a restart were right after it", by: "auditor",
		file: "auditor/past.go",
		old:  `st.Evidence, st.keptAt = &evidence, r.KeptAt`, new: `st.Last, st.Evidence, st.keptAt = &evidence, &evidence, r.KeptAt`,
	},
	{
		name: "held-over-a-restart", what: "grants that were held before a restart were held after it", by: "auditor",
		file: "auditor/past.go",
		old:  `if !c.Coverage.Satisfied() && requires(c.Policy, c.Scope) {`, new: `if requires(c.Policy, c.Scope) {`,
	},
	{
		name: "evidence-of-yesterday", what: "an account that cannot be read were judged by the evidence that a history remembers", by: "auditor",
		file: "auditor/snapshot.go",
		old:  "st.Last = sweep\n\tr := &sweep.Report",
		new:  "if !sweep.HasEvidence() && st.Evidence != nil && st.Evidence.Replayed {\n\t\tsweep = st.Evidence\n\t}\n\tst.Last = sweep\n\tr := &sweep.Report",
	},
	{
		name: "evidence-made-younger", what: "remembered evidence were as young as the end of the last run", by: "history",
		file: "auditor/history/past.go",
		old:  `r.Evidence.StartedAt = last.readAt`, new: `r.Evidence.StartedAt = last.EndedAt`,
	},
	{
		name: "age-begins-anew", what: "a finding were only as old as the last evidence for it", by: "auditor",
		file: "auditor/past.go",
		old:  `st.since[keyOf(f)] = r.Findings[i].Since`, new: `st.since[keyOf(f)] = evidence.StartedAt`,
	},
	{
		name: "bad-news-not-restored", what: "a restart forgot what was wrong", by: "auditor",
		file: "auditor/past.go",
		old:  `st.Findings = append(st.Findings, *f)`, new: `_ = append(st.Findings, *f)`,
	},
	{
		name: "no-witness-after-a-restart", what: "what differs from remembered evidence needed no second witness", by: "auditor",
		file: "auditor/snapshot.go",
		old:  `return rules.Last{Known: true, Agency:`, new: `return rules.Last{Known: !st.Evidence.Replayed, Agency:`,
	},
	{
		name: "members-forgotten", what: "members of an organization were not expected before it was asked again", by: "past",
		file: "auditor/daemon/past.go",
		old:  "\t\te.remember(was)\n", new: "",
	},
	{
		name: "left-comes-back", what: "an account that had left came back with a restart", by: "past",
		file: "auditor/history/past.go",
		old:  `r.Left = true`, new: `r.Left = false`,
	},
	// The history: that nothing is lost, and nothing invented.
	{
		name: "acknowledged-too-early", what: "a run were said to be recorded before it is", by: "restarts",
		file: "auditor/daemon/past.go",
		old:  `return d.past.store.Record(context.Background(), s)`,
		new:  "go func() { _ = d.past.store.Record(context.Background(), s) }()\n\treturn nil",
	},
	{
		name: "failure-not-told", what: "a run that could not be recorded were not counted", by: "past",
		file: "auditor/daemon/past.go",
		old:  "\td.metrics.HistoryFailed()\n", new: "",
	},
	{
		name: "hanging-disk-holds-runs", what: "a run waited for its recording for as long as that takes", by: "past",
		file: "auditor/daemon/past.go",
		old:  "\tcase <-wait.C:\n", new: "\tcase <-d.past.enough:\n",
	},
	{
		name: "full-disk-ends-the-start", what: "a disk that is full at the start ended the program", by: "past",
		file: "auditor/daemon/past.go",
		old:  "errors.Is(err, history.ErrDisk) {", new: "errors.Is(err, history.ErrDisk) && d == nil {",
	},
	{
		name: "written-though-moved", what: "a history were written that was taken away", by: "history",
		file: "auditor/history/sqlite.go",
		old:  "if is, err := os.Stat(name); err != nil || !os.SameFile(is, was) {", new: "if is, err := os.Stat(name); err == nil && !os.SameFile(is, is) {",
	},
	{
		name: "begun-anew", what: "a history that is no database were replaced by an empty one", by: "restarts",
		file: "auditor/history/open.go",
		old:  "if err := recognize(file, false); err != nil {\n\t\treturn nil, err\n\t}\n\tplain, err := newCodec(nil)\n\tif err != nil {\n\t\treturn nil, err\n\t}\n\td := &database{\n",
		new: "if err := recognize(file, false); err != nil {\n\t\t_ = os.Remove(file)\n\t\tif err := create(ctx, file); err != nil {\n\t\t\treturn nil, err\n\t\t}\n\t}\n" +
			"\tplain, err := newCodec(nil)\n\tif err != nil {\n\t\treturn nil, err\n\t}\n\td := &database{\n",
	},
	{
		name: "two-owners", what: "two processes could have one state directory", by: "restarts",
		file: "auditor/history/lock.go",
		old:  `if !locked {`, new: `if !locked && dir == "" {`,
	},
	{
		name: "verdict-not-checked", what: "a verdict that was altered in the file were shown", by: "history",
		file: "auditor/history/rows.go",
		old:  "if !bytes.Equal(s.hash, s.sum()) {\n\t\treturn nil, flawf(\"verdict", new: "if len(s.hash) == 0 {\n\t\treturn nil, flawf(\"verdict",
	},
	{
		name: "evidence-not-checked", what: "evidence that was altered in the file were shown", by: "history",
		file: "auditor/history/rows.go",
		old:  "if !bytes.Equal(s.hash, s.sum()) {\n\t\treturn nil, flawf(\"evidence", new: "if len(s.hash) == 0 {\n\t\treturn nil, flawf(\"evidence",
	},
	{
		name: "finding-not-checked", what: "a finding that was altered in the file were shown", by: "history",
		file: "auditor/history/rows.go",
		old:  `if !bytes.Equal(hash, f.sum()) {`, new: `if len(hash) == 0 {`,
	},
	{
		name: "doubt-not-settled", what: "a commit that is said to have failed had not happened", by: "history",
		file: "auditor/history/sqlite.go",
		old:  `d.tip = nil // whether`, new: `_ = d.tip // whether`,
	},
	{
		name: "unread-is-refuted", what: "what is wrong with an account that could not be read since the start ended", by: "history",
		file: "auditor/history/change.go",
		old:  `return // nothing can have refuted anything`, new: `_ = st // nothing can have refuted anything`,
	},
	// Writing: what a step may come to.
	{
		name: "step-sent-again", what: "a step whose answer did not come in time were sent once more", by: "writes",
		file: "auditor/huawei/manners.go",
		old:  "resp, f, _ := w.inTurn(o, req, signed)\n\t\treturn resp, f\n",
		new:  "resp, f, _ := w.inTurn(o, req, signed)\n\t\tif f == nil || f.reason != rules.ReasonTimeout {\n\t\t\treturn resp, f\n\t\t}\n",
	},
	{
		name: "step-signed-again", what: "one wire let a step through as often as it is asked to", by: "writes",
		file: "auditor/huawei/wire.go",
		old:  `w.permit.used.CompareAndSwap(false, true)`, new: `w.permit.used.CompareAndSwap(w.permit.used.Load(), true)`,
	},
	{
		name: "reader-writes", what: "a reader let a write through", by: "writes",
		file: "auditor/huawei/wire.go",
		old:  `return w.cloud.writes == operations[o].changes && w.permit != nil`, new: `return w.permit != nil`,
	},
	{
		name: "conflict-is-done", what: "a grant that was there before were taken for one that was made", by: "writes",
		file: "auditor/huawei/writer.go",
		old:  "case f.status == http.StatusConflict && !revoke:\n\t\treturn auditor.SaidAlready", new: "case f.status == http.StatusConflict && !revoke:\n\t\treturn auditor.SaidDone",
	},
	{
		name: "failure-is-nothing", what: "a failure of the cloud were taken for nothing done", by: "writes",
		file: "auditor/huawei/writer.go",
		old:  `f.status < 400 || f.status >= 500 ||`, new: `f.status < 400 ||`,
	},
	{
		name: "page-is-refusal", what: "any page with a status of refusal were a refusal of the cloud", by: "writes",
		file: "auditor/huawei/fault.go",
		old:  `e.code != "" || e.message != ""`, new: `true`,
	},
	{
		name: "missing-agency-is-revoked", what: "a grant of an agency that is not there were taken for revoked", by: "writes",
		file: "auditor/huawei/writer.go",
		old:  `f.code != notPublished && !strings.Contains(strings.ToLower(f.message), "agency")`, new: `f.code != notPublished`,
	},
	{
		name: "any-body-is-done", what: "a step answered with a page were done", by: "writes",
		file: "auditor/huawei/wire.go",
		old:  "if len(body) > 0 {\n\t\t\treturn reject(rejectedEnvelope, \"a body", new: "if len(body) > 1<<30 {\n\t\t\treturn reject(rejectedEnvelope, \"a body",
	},
	{
		name: "step-without-whose", what: "a step were sent with keys of which nobody said whose they are", by: "writes",
		file: "auditor/huawei/writer.go",
		old:  `s.ownKey(d.access.Agency == "" || d.access.Via != ViaSTS)`, new: `s.ownKey(false)`,
	},
	{
		name: "ids-of-a-step-unchecked", what: "what a step has for ids were put into a path as it is", by: "writes",
		file: "auditor/huawei/writer.go",
		old:  `!isID(s.AgencyID), !isID(s.Grant.Policy.ID)`, new: `!isID(s.Grant.Policy.ID)`,
	},
	{
		name: "lost-is-unsent", what: "a step whose answer was lost were taken for one that was not sent", by: "writes",
		file: "auditor/huawei/wire.go",
		old:  `if changes && unconnected(err) {`, new: `if changes && err != nil {`,
	},
	{
		name: "one-witness-before-a-step", what: "one witness of what is as it was were enough before something is done", by: "core",
		file: "rules/last.go",
		old:  `return l.All && p.State == PlaneRead || p.Pages > 1`, new: `return p.Pages > 1`,
	},
	{
		name: "one-listing-before-a-step", what: "the agency were listed once before something is done", by: "core",
		file: "rules/last.go",
		old:  `return l.All || l.Known &&`, new: `return l.Known &&`,
	},
	// The ledger of repair: what is durable, and what is believed.
	{
		name: "acknowledged-unsynced", what: "an entry of the ledger were acknowledged and only then, if ever, synced", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  "\tif err := l.file.Sync(); err != nil {\n\t\treturn err\n\t}\n\tpassing", new: "\tpassing",
	},
	{
		name: "after-a-failed-sync", what: "the ledger went on after a sync that failed", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  "\t\tl.become(l.head, l.size, err)\n", new: "\t\tl.become(l.head, l.size, nil)\n",
	},
	{
		name: "failed-sync-tried-again", what: "a sync that failed were tried again, and believed then", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  "\tif err := l.file.Sync(); err != nil {\n\t\treturn err\n\t}\n\tpassing", new: "\tif err := l.file.Sync(); err != nil {\n\t\tif err = l.file.Sync(); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\tpassing",
	},
	{
		name: "failed-sync-believed", what: "what a failed sync left in the kernel's memory alone were taken for durable at the next start", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  `if n := int64(len(lines.last)); n > 0 {`, new: `if n := int64(len(lines.last)); n < 0 {`,
	},
	{
		name: "shown-unsynced", what: "what a killed process wrote were shown, and not made durable", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  "\tif err := l.file.Sync(); err != nil {\n\t\treturn fmt.Errorf(\"make the ledger durable: %w\", err)\n\t}\n\tif", new: "\tif",
	},
	{
		name: "name-not-synced", what: "the ledger's entries were durable, and not its name", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  `if err := fsys.SyncDir(filepath.Dir(l.name)); err != nil {`, new: `if err := error(nil); fsys == nil || filepath.Dir(l.name) == "" {`,
	},
	{
		name: "torn-tail-kept", what: "what is left of an entry that was not written to its end were left in the ledger", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  `if err := l.file.Truncate(l.size); err != nil {`, new: `if err := l.file.Truncate(l.size + l.torn); err != nil {`,
	},
	{
		name: "torn-tail-accepted", what: "half an entry of the ledger were written on behind", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  "\tl.head, l.size, l.torn = lines.head, lines.size, lines.torn\n", new: "\tl.head, l.size, l.torn = lines.head, lines.size+lines.torn, 0\n",
	},
	{
		name: "second-writer", what: "something else could write to the ledger as well", by: "ledger",
		file: "auditor/remedy/ledger.go",
		old:  `if size != at {`, new: `if size < 0 {`,
	},
	{
		name: "chain-not-checked", what: "an entry of the ledger need not follow from the one before", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  `e.Seq != l.head.Seq+1 || e.Prev != l.head.Hash {`, new: `e.Seq != l.head.Seq+1 {`,
	},
	{
		name: "numbers-not-checked", what: "the ledger's numbers need not follow each other", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  `e.Seq != l.head.Seq+1 || e.Prev != l.head.Hash {`, new: `e.Prev != l.head.Hash {`,
	},
	{
		name: "hash-not-checked", what: "an entry of the ledger were believed whatever its hash", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  `if string(text[hashAt:]) != hash+noHash {`, new: `if hash = string(text[hashAt : len(text)-len(noHash)]); hash == "" {`,
	},
	{
		name: "line-not-strict", what: "an entry of the ledger could be spelled in two ways", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  `err != nil || !bytes.Equal(again, text) {`, new: `err != nil || len(again) == 0 {`,
	},
	{
		name: "floor-not-checked", what: "an older copy of the ledger were as good", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  `if l.head.Seq < l.floor.Seq {`, new: `if l.head.Seq < 0 {`,
	},
	{
		name: "floor-of-another", what: "another ledger that is as long were as good", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  `if e.Seq == l.floor.Seq && e.Hash != l.floor.Hash {`, new: `if e.Seq == l.floor.Seq && e.Hash == "" {`,
	},
	{
		name: "end-altered", what: "an entry whose end was altered were cut off as if it had been torn", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  "\treturn err == nil\n}", new: "\treturn err == nil && n == 0\n}",
	},
	{
		name: "any-last-line-is-torn", what: "a last entry that was altered were cut off as if it had been torn", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  "\treturn empty > 1 || line[0] == 0\n", new: "\treturn true\n",
	},
	{
		name: "bit-is-a-hole", what: "a last entry with one bit turned over were cut off as if it had been torn", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  "\treturn empty > 1 || line[0] == 0\n", new: "\treturn empty > 0\n",
	},
	{
		name: "disk-writes-in-order", what: "a disk wrote an entry's sectors in order", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  "\treturn empty > 1 || line[0] == 0\n", new: "\treturn false\n",
	},
	{
		name: "line-without-end", what: "a line of the ledger could have any length", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  "\t\tif len(l.read) > maxLine {", new: "\t\tif len(l.read) < 0 {",
	},
	{
		name: "entry-without-end", what: "an entry could be longer than what is read back", by: "ledger",
		file: "auditor/remedy/ledger_lines.go",
		old:  `if len(line) > maxLine {`, new: `if len(line) < 0 {`,
	},
	{
		name: "ledger-by-a-link", what: "the ledger were written wherever a link leads", by: "ledger",
		file: "auditor/remedy/fs.go",
		old:  `was, err := os.Lstat(name)`, new: `was, err := os.Stat(name)`,
	},
	{
		name: "ledger-for-all", what: "everybody could read the ledger", by: "ledger",
		file: "auditor/remedy/fs.go",
		old:  `os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)`, new: `os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)`,
	},
	{
		name: "ledger-taken-away", what: "a ledger that was moved away were written on", by: "ledger",
		file: "auditor/remedy/fs.go",
		old:  `if err != nil || !os.SameFile(there, f.is) {`, new: `if err != nil || !os.SameFile(there, there) {`,
	},
	{
		name: "mark-not-checked", what: "what the history remembers of the ledger could be altered", by: "history",
		file: "auditor/history/rows.go",
		old:  `if !bytes.Equal(hash, hashOf("mark", name, value)) {`, new: `if len(hash) == 0 {`,
	},
	// Repair: what is proposed, what holds it back, and what becomes of it.
	{
		name: "not-read-again", what: "the account were not read again before a request", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `if before.Digest() != t.expected[agencyKey(s)] || before.AgencyID() != s.AgencyID || before.Fits(s) {`,
		new:  `if before.Digest() == "" {`,
	},
	{
		name: "limits-in-memory", what: "a restart gave a day its limits anew", by: "repair",
		file: "auditor/remedy/engine.go",
		old:  "\tif o.State == nil {\n\t\to.State = NewState()\n\t}\n",
		new:  "\tif o.State == nil {\n\t\to.State = NewState()\n\t}\n\to.State.writes = nil\n",
	},
	{
		name: "limits-of-a-run", what: "what was done in a day did not count", by: "repair",
		file: "auditor/remedy/state.go",
		old:  `if now.Sub(s.writes[i].at) < day {`, new: `if now.Sub(s.writes[i].at) < 0 {`,
	},
	{
		name: "limits-of-a-plan", what: "two plans on one run had a limit each", by: "repair",
		file: "auditor/remedy/guard.go",
		old:  `if w.run == p.Run {`, new: `if w.run == "" {`,
	},
	{
		name: "as-much-as-may-be", what: "a plan over the limits were carried out as far as they go", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\tif over != \"\" {\n",
		new:  "\tfor ; over != \"\" && len(p.Steps) > 1; over = job.Policy.Limits.exceeds(p, e.state, proposed.Fleet, now) {\n\t\tsome := *p\n\t\tsome.Steps = p.Steps[:len(p.Steps)-1]\n\t\tp, t.plan = &some, &some\n\t}\n\tif over != \"\" {\n",
	},
	{
		name: "done-before-it-shows", what: "what the cloud says were taken for what is so", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\texpected := before.After(s)\n\tst,",
		new:  "\texpected := before.After(s)\n\tif a.Said == auditor.SaidDone {\n\t\treturn e.finish(o, OutcomeDone, a, nil, \"\")\n\t}\n\tst,",
	},
	{
		name: "bug-is-an-answer", what: "a bug in the way of a change were taken for an answer", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `if a.Why != nil && a.Why.Reason == rules.ReasonPanic {`, new: `if a.Why != nil && a.Why.Reason == "" {`,
	},
	{
		name: "sent-afterwards", what: "a request were written down when it was sent", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\twhy, detail, err := e.begin(t.job, o)\n\tif err != nil {\n\t\treturn err\n\t}\n\tif why",
		new:  "\tearly, err := e.apply(ctx, t, o, readAt)\n\tif err != nil {\n\t\treturn err\n\t}\n\twhy, detail, err := e.begin(t.job, o)\n\tif err != nil {\n\t\treturn err\n\t}\n\tif why == \"\" {\n\t\treturn e.verify(ctx, t, o, before, early)\n\t}\n\tif why",
	},
	{
		name: "sent-not-durable", what: "a request were sent though that could not be written down", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\to.SentAt = sent.Time\n\treturn \"\", \"\", err\n",
		new:  "\to.SentAt = sent.Time\n\t_ = err\n\treturn \"\", \"\", nil\n",
	},
	{
		name: "sent-not-written", what: "a request were not written down", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `sent, err := e.append(Entry{Kind: KindSent, Actor: e.self, Run: o.Run, Plan: o.Plan, Intent: o.Intent})`,
		new:  `sent, err := Entry{Time: e.clock.Now()}, error(nil)`,
	},
	{
		name: "sent-again", what: "a request of which no answer came were sent again", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\t\treturn nil\n\t})\n\tif a.Why",
		new:  "\t\treturn nil\n\t})\n\tif a.Said == auditor.SaidNothing {\n\t\ta = t.job.Appliers[o.Step.Action].Apply(ctx, &o.Step, func() error { return nil })\n\t}\n\tif a.Why",
	},
	{
		name: "already-is-so", what: "what the cloud says to have been so were not read", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\tif a.Said == auditor.SaidUnsent {\n",
		new:  "\tif a.Said == auditor.SaidAlready {\n\t\treturn e.finish(o, OutcomeNoop, a, nil, \"\")\n\t}\n\tif a.Said == auditor.SaidUnsent {\n",
	},
	{
		name: "restart-lifts-the-freeze", what: "a restart lifted a freeze", by: "repair",
		file: "auditor/remedy/state.go",
		old:  "\tcase KindStarted:\n", new: "\tcase KindStarted:\n\t\ts.frozen = nil\n",
	},
	{
		name: "approval-of-any-steps", what: "an approval counted for other steps under the same digest", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  "\tcase p.Digest != p.digest():\n\t\treturn refused(", new: "\tcase p.Digest == \"\":\n\t\treturn refused(",
	},
	{
		name: "approval-again", what: "an approval could be used again", by: "repair",
		file: "auditor/remedy/state.go",
		old:  `same.used = same.used || same.plan == a.plan`, new: `same.used = same.used && same.plan == a.plan`,
	},
	{
		name: "approved-twice", what: "a plan could be approved twice", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  `if a := e.state.approved(e.policy, p.Digest, now); a != nil {`, new: `if a := e.state.approved(e.policy, "", now); a != nil {`,
	},
	{
		name: "not-looked-at-last-moment", what: "what stops repair while an account is entered did not", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `if t.held, t.detail = e.stopped(t.job, now); t.held == "" && now`, new: `if t.held == "" && now`,
	},
	{
		name: "approval-freezes-again", what: "an approval that exceeded a limit froze again and again", by: "repair",
		file: "auditor/remedy/state.go",
		old:  "\t\ts.use(e.Approval) // else", new: "\t\t// else",
	},
	{
		name: "approved-over-a-limit", what: "a plan that exceeds a limit could be approved", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  `exceeds(&again, e.state, cmp.Or(e.fleet, p.Fleet), now); over != "" {`,
		new:  `exceeds(&again, e.state, cmp.Or(e.fleet, p.Fleet), now); over == "-" {`,
	},
	{
		name: "approved-by-the-run-before", what: "a plan could be approved that fitted on the run that it was made on, and no more", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  `again.Run = e.plan.Run // on`, new: `again.Run = p.Run // on`,
	},
	{
		name: "undo-of-what-was-not-read", what: "an undo judged by what was read before the step that it takes back", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  `case why != "": // what`, new: `case why == "-": // what`,
	},
	{
		name: "nonce-again", what: "an approval could be given again", by: "repair",
		file: "auditor/remedy/state.go",
		old:  `s.nonces[e.Nonce] = true`, new: `s.nonces[e.Nonce] = false`,
	},
	{
		name: "approval-of-ones-own", what: "people could approve what they asked for", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  `if len(e.policy.People) > 0 && c.Actor == p.RequestedBy {`, new: `if c.Actor == "" {`,
	},
	{
		name: "approval-of-somebody-gone", what: "the approval counted of somebody whose key was taken away", by: "repair",
		file: "auditor/remedy/state.go",
		old:  `p.hears(&a.Consent, a.plan) == nil`, new: `p.Mode != ""`,
	},
	{
		name: "waived-for-ever", what: "what was accepted once were never repaired", by: "core",
		file: "rules/propose.go",
		old:  `case f.WaivedAt(p.now):`, new: `case f.Waived != nil:`,
	},
	{
		name: "waived-and-repaired", what: "what is accepted were repaired all the same", by: "core",
		file: "rules/propose.go",
		old:  `case f.WaivedAt(p.now):`, new: `case f.WaivedAt(p.now) && f.Rule == "":`,
	},
	{
		name: "one-failure-is-none", what: "a plan went on after a step that failed", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\t\treturn e.block(rules.HoldStopped, string(outcome)+\": \"+why(a))\n", new: "\t\treturn nil\n",
	},
	{
		name: "percentage-rounded-up", what: "a percentage of the fleet were rounded up", by: "repair",
		file: "auditor/remedy/guard.go",
		old:  `max(1, fleet*l.FleetPercent/100)`, new: `max(1, (fleet*l.FleetPercent+99)/100)`,
	},
	{
		name: "no-limit-of-a-policy", what: "one policy could be written any number of times", by: "repair",
		file: "auditor/remedy/guard.go",
		old:  `n > l.PolicyWrites {`, new: `n > 1<<30 {`,
	},
	{
		name: "fought-for-ever", what: "a grant were written whenever somebody else undoes it", by: "repair",
		file: "auditor/remedy/state.go",
		old:  `const writesOfAGrant = 2`, new: `const writesOfAGrant = 200`,
	},
	{
		name: "nothing-is-quarantined", what: "what does not take effect were tried again and again", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `if outcome == OutcomeUnverified {`, new: `if outcome == "" {`,
	},
	{
		name: "no-cooling", what: "an account were not left alone for longer after each failure", by: "repair",
		file: "auditor/remedy/state.go",
		old:  `if times *= 2; times >= maxCooling {`, new: `if times *= 1; times >= maxCooling {`,
	},
	{
		name: "grace-of-the-finding", what: "a new grant were as old as the finding that it is part of", by: "core",
		file: "rules/propose.go",
		old:  `if detail, ok := p.lasted(g); !ok {`, new: `if detail, ok := p.lasted(f.Grants[0]); !ok {`,
	},
	{
		name: "no-grace", what: "what was seen once were revoked", by: "core",
		file: "rules/propose.go",
		old:  `case readAt.Sub(since) < grace:`, new: `case readAt.Before(since):`,
	},
	{
		name: "grace-by-a-clock-ahead", what: "a clock that is ahead made a grant old", by: "core",
		file: "rules/propose.go",
		old:  `if readAt.After(p.now) {`, new: `if p.now.IsZero() {`,
	},
	{
		name: "revokes-what-is-required", what: "a policy of the baseline were revoked where it is too much", by: "core",
		file: "rules/propose.go",
		old:  `case policy.Origin != Custom && p.Baseline.names(policy.Name) || p.requires(policy.ID):`,
		new:  `case policy.ID == "":`,
	},
	{
		name: "trust-not-looked-at", what: "something were granted whomever the agency trusts", by: "core",
		file: "rules/propose.go",
		old:  `case has(RuleTrustMismatch):`, new: `case has(RuleTrustMismatch) && p.Report.State == StateCompliant:`,
	},
	{
		name: "acts-on-what-was-recorded", what: "something were done on evidence that was recorded", by: "core",
		file: "rules/propose.go",
		old:  `case p.Replayed:`, new: `case p.Replayed && p.now.IsZero():`,
	},
	{
		name: "grants-anything", what: "what gives the account away were granted", by: "core",
		file: "rules/propose.go",
		old:  `strings.EqualFold(n, strings.TrimSpace(policy))`, new: `n == policy+" "`,
	},
	{
		name: "acts-on-a-suspect-run", what: "a run that should not be acted on were", by: "repair",
		file: "auditor/remedy/engine.go",
		old:  `len(run.Suspect) > 0 {`, new: `len(run.Suspect) > 99 {`,
	},
	{
		name: "acts-in-the-dark", what: "much of the fleet could be unknown", by: "repair",
		file: "auditor/remedy/guard.go",
		old:  `n > 1 && n*10 > all {`, new: `n > all {`,
	},
	{
		name: "switch-not-looked-at", what: "the kill switch did nothing", by: "repair",
		file: "auditor/remedy/engine.go",
		old:  `if killed != "" {`, new: `if killed == "never" {`,
	},
	{
		name: "clock-not-looked-at", what: "it did not matter what the clock says", by: "repair",
		file: "auditor/remedy/engine.go",
		old:  `if ahead, known := job.Skew(); known && ahead.Abs() > MaxSkew {`,
		new:  `if ahead, known := job.Skew(); known && ahead.Abs() > MaxSkew*1000 {`,
	},
	{
		name: "stopped-too-late", what: "what stops repair were not looked at right before a request", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `if why, detail := e.holds(job, killed, e.clock.Now()); why != "" {`,
		new:  `if why, detail := e.holds(job, killed, e.clock.Now()); why == "never" {`,
	},
	{
		name: "trust-not-read-back", what: "whom an agency trusts could change while it is changed", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `if after.AgencyID() != "" && !after.SameTrust(before) {`, new: `if after.AgencyID() == "never" {`,
	},
	{
		name: "undo-as-it-was", what: "an undoing did again what was done", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  `if d.Step.Action == rules.ActionRevoke {`, new: `if d.Step.Action == rules.ActionGrant {`,
	},
	{
		name: "undone-twice", what: "what was undone could be undone again", by: "repair",
		file: "auditor/remedy/state.go",
		old:  `s.undone[o.Step.Undoes] = true`, new: `s.undone[o.Step.Undoes] = false`,
	},
	{
		name: "settled-by-repeating", what: "what is open after a restart were sent again", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  "\t\tafter, ids, err := e.read(ctx, job, st, b)\n",
		new:  "\t\t_, _ = e.apply(ctx, &trip{job: job}, o, e.clock.Now())\n\t\tafter, ids, err := e.read(ctx, job, st, b)\n",
	},
	{
		name: "one-wave", what: "all accounts were changed at once", by: "repair",
		file: "auditor/remedy/carry.go",
		old:  `for size := 1; len(todo) > 0; {`, new: `for size := 1000; len(todo) > 0; {`,
	},
	{
		name: "own-writes-not-read", what: "a plan rested on a reading from before the last change", by: "repair",
		file: "auditor/remedy/engine.go",
		old:  `if readAt.Before(e.state.touched[account]) {`, new: `if readAt.IsZero() {`,
	},
	{
		name: "old-plan-as-it-was", what: "a plan that somebody kept were carried out as it was", by: "repair",
		file: "auditor/remedy/consent.go",
		old:  `if covers(ids[i]) {`, new: `if ids[i] != "" {`,
	},
	{
		name: "nobody-looked", what: "grants counted as seen while nobody looked", by: "repair",
		file: "auditor/remedy/engine.go",
		old:  `if found := st.Since(f); found.After(at) {`, new: `if found := st.Since(f); found.After(at) && at.IsZero() {`,
	},
}
