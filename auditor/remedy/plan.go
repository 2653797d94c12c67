package remedy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// planFormat is the version of the form of a plan's file.
const planFormat = 1

// maxPlan is how many bytes a plan's file may have.
const maxPlan = 16 << 20

// Who does what no person asked for: Daemon is the daemon, and who asks for the plans that follow from runs; Command is a command of
// a person's that has the state directory for itself. No person is called like that.
const (
	Daemon  = "daemon"
	Command = "command"
)

// Nobody says whether a name is no person's: an empty one, or one of the program's own.
func Nobody(name string) bool {
	name = strings.TrimSpace(name)
	return name == "" || strings.EqualFold(name, Daemon) || strings.EqualFold(name, Command)
}

// Plan is what is proposed after a run: the steps in the order in which they are carried out, and what stays as it is.
type Plan struct {
	Format int `json:"format"`
	// Digest is the plan's identity: that of who asked for it, of the ledger and of its steps. It says nothing of when it was made, so that a
	// plan which is made again after the next run is the same plan.
	Digest    string    `json:"digest"`
	CreatedAt time.Time `json:"created_at"`
	// Run is the run that the plan rests on, which ended at RunEndedAt, and RequestedBy who asked for it. Signature is theirs over the
	// digest, where people have keys.
	Run         string    `json:"run"`
	RunEndedAt  time.Time `json:"run_ended_at,omitzero"`
	RequestedBy string    `json:"requested_by"`
	Signature   string    `json:"signature,omitempty"`
	// Ledger is the hash of the first entry of the ledger that was kept when the plan was made; empty without one. What was signed for a plan is
	// of no use once another ledger begins, which does not know what was used up.
	Ledger string `json:"ledger,omitempty"`
	// Undoes is the run of which the steps take back what was done; empty for a plan that follows from findings.
	Undoes string `json:"undoes,omitempty"`
	// Fleet is how many accounts were expected, and Unread of how many of those that the plan is about nothing is known by the run, so that
	// nothing is proposed for them.
	Fleet  int          `json:"fleet"`
	Unread int          `json:"unread,omitempty"`
	Steps  []rules.Step `json:"steps"`
	Held   []rules.Held `json:"held,omitempty"`
	// Stopped says why nothing at all would be done now, and Detail what would have to be otherwise; empty when nothing is in the way.
	Stopped rules.Hold `json:"stopped,omitempty"`
	Detail  string     `json:"detail,omitempty"`
	// Over says which limit the plan exceeds, so that nothing of it would be carried out; empty when it exceeds none.
	Over string `json:"over,omitempty"`

	// fights are steps that were written too often.
	fights []rules.Step
}

// seal computes the digest.
func (p *Plan) seal() {
	p.Format = planFormat
	p.Digest = p.digest()
}

func (p *Plan) digest() string { return planDigest(p.RequestedBy, p.Ledger, p.Undoes, p.ids()) }

// planDigest is the digest of a plan of steps with these ids.
func planDigest(requester, ledger, undoes string, ids []string) string {
	d := sha256.New()
	fmt.Fprintf(d, "plan %d %q %q %q\n", planFormat, requester, ledger, undoes)
	for _, id := range ids {
		fmt.Fprintln(d, id)
	}
	return hex.EncodeToString(d.Sum(nil))
}

// ids are the identities of the steps.
func (p *Plan) ids() []string {
	ids := make([]string, len(p.Steps))
	for i := range p.Steps {
		ids[i] = p.Steps[i].ID()
	}
	return ids
}

// Accounts counts the accounts in which a plan does something of a kind.
func (p *Plan) Accounts(action rules.Action) int {
	seen := map[string]bool{}
	for i := range p.Steps {
		if p.Steps[i].Action == action {
			seen[p.Steps[i].AccountID] = true
		}
	}
	return len(seen)
}

// By is the plan as somebody's own, of some accounts by their names or ids, or of all of them when there are none. What was
// signed is signed no more.
func (p *Plan) By(requester string, accounts []string) Plan {
	own := *p
	own.RequestedBy, own.Signature = requester, ""
	if len(accounts) > 0 {
		own.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s rules.Step) bool { return !chosen(accounts, s.AccountID, s.Account) })
		own.Held = slices.DeleteFunc(slices.Clone(p.Held), func(h rules.Held) bool { return !chosen(accounts, h.AccountID, h.Account) })
	}
	own.seal()
	return own
}

// chosen says whether an account is one of those with these names or ids; all are when there are none.
func chosen(accounts []string, id, name string) bool {
	return len(accounts) == 0 || slices.Contains(accounts, id) || slices.Contains(accounts, name)
}

// ParsePlan reads a plan's file. Whatever was changed in its steps since it was written is an error.
func ParsePlan(data []byte) (*Plan, error) {
	if len(data) > maxPlan {
		return nil, fmt.Errorf("the plan has more than %d bytes", maxPlan)
	}
	var p Plan
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&p)
	if err == nil && d.Decode(&struct{}{}) != io.EOF {
		err = errors.New("something follows it")
	}
	if err != nil {
		return nil, fmt.Errorf("this is no plan: %w; `plan --out` writes one", err)
	}
	switch {
	case p.Format != planFormat:
		return nil, fmt.Errorf("this is no plan of the form %d, which this program reads: have `plan --out` write it anew", planFormat)
	case p.Digest != p.digest():
		return nil, fmt.Errorf("the plan was changed after it was written: its steps do not fit its digest %s; have `plan --out` write it anew", p.Digest)
	}
	// A member that is there twice, be it in another letter case, would be read in one way here and in another by whoever looks at the file.
	var shown, read any
	again, err := json.Marshal(&p)
	if err := errors.Join(err, json.Unmarshal(data, &shown), json.Unmarshal(again, &read)); err != nil || !reflect.DeepEqual(shown, read) {
		return nil, errors.New("the plan was changed after it was written: it can be read in two ways; have `plan --out` write it anew")
	}
	return &p, nil
}

// Intact says whether a plan's steps fit its digest.
func (p *Plan) Intact() bool { return p.Digest == p.digest() }

// Encode writes a plan's file.
func (p *Plan) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	return append(data, '\n'), nil
}
