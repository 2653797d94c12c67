package rules

import (
	"fmt"
	"strings"
)

// ruleTrustMismatch finds agencies that trust another account than the baseline's.
var ruleTrustMismatch = Rule{
	ID: RuleTrustMismatch, Severity: Critical, Title: "The agency trusts another account",
	find: func(j *judgement) []Finding {
		if j.trustFault == "" {
			return nil
		}
		return []Finding{{
			Trusts:  j.evidence.agency.Trust.ID,
			Message: j.trustFault,
			Consequences: []string{
				fmt.Sprintf("Whoever owns the trusted account can act in this account with everything that %s is granted.", j.baseline.Agency),
				fmt.Sprintf("%s itself may be locked out.", j.baseline.Service),
			},
		}}
	},
	remedies: func(b Baseline, _ Finding) []Remedy {
		return []Remedy{{Where: iamConsole, Steps: []string{
			"Treat this as an incident: grant nothing to the agency until it is understood.",
			"Find out in the audit trail (CTS: createAgency, updateAgency, updateTrustPolicyV5; switchRole, agencyAssume) " +
				"who set the trust, and what was done through it.",
			fmt.Sprintf("Open Agencies, locate %s, click Modify and set the cloud service back to %s.", b.Agency, b.Service),
			fmt.Sprintf("If its type is not cloud service, which cannot be changed, delete it and enable %s anew on the %s console.",
				b.Service, b.Service),
		}}}
	},
}

// weighTrust compares the agency's trust with the baseline and with the rest of the fleet. It returns why the trust
// cannot be judged, if it cannot.
func (j *judgement) weighTrust() *Unknown {
	got, want := j.evidence.agency.Trust, j.baseline.Trust
	switch {
	case want.ID != "" && got.ID != want.ID:
		j.trustFault = fmt.Sprintf("The agency trusts the account %s (id %s); the baseline pins the id %s.",
			orUnnamed(got.Name), got.ID, want.ID)
	case got.Name == "" && want.ID == "":
		return &Unknown{
			Reason: ReasonIncomplete,
			Detail: fmt.Sprintf("the cloud did not name the account %s that the agency trusts, and the baseline pins no id", got.ID),
			Remedy: "pin the id of the trusted account in the baseline (trust: id)",
		}
	case got.Name != "" && !SameTrustName(got.Name, want.Name):
		looks := ""
		if !isASCII(got.Name) {
			looks = ", whose name is not plain ASCII and may only look like another one"
		}
		j.trustFault = fmt.Sprintf("The agency trusts the account %s (id %s)%s; the baseline names %s.", got.Name, got.ID, looks, want.Name)
	case want.ID == "" && j.fleet.outlier(got.ID):
		j.trustFault = fmt.Sprintf("The agency trusts the account %s by the id %s, which differs from the rest of the fleet; "+
			"pin the right id in the baseline to settle which one it is.", got.Name, got.ID)
	}
	return nil
}

// TrustUnnamed has a finding about an agency's trust be about an account that the agency trusts by now and that the cloud did not name. It
// says so: whom the agency trusted before may have been accepted, and who reads that name would take the new one for them.
func (f *Finding) TrustUnnamed(id string) {
	if f.Trusts == id {
		return
	}
	f.Trusts = id
	f.Message = fmt.Sprintf("The agency trusts an account that the cloud did not name (id %s); "+
		"the account that it trusted before was not the baseline's.", id)
}

// outlier says whether the id differs from what most agencies of the fleet trust. Where no id has a strict majority,
// every one of them differs from the rest.
func (f Fleet) outlier(id string) bool {
	total := 0
	for _, n := range f.TrustIDs {
		total += n
	}
	return len(f.TrustIDs) > 1 && 2*f.TrustIDs[id] <= total
}

// CountTrust counts one agency's trust into the fleet if it fits the baseline by name. Evaluate needs the whole count,
// so that all accounts are read before the first is judged.
func (f *Fleet) CountTrust(b Baseline, e Evidence) {
	if !e.valid || !e.present || !SameTrustName(e.agency.Trust.Name, b.Trust.Name) {
		return
	}
	if f.TrustIDs == nil {
		f.TrustIDs = map[string]int{}
	}
	f.TrustIDs[e.agency.Trust.ID]++
}

// SameTrustName says whether two names of trusted accounts are the same with ASCII letter case folded. A name with a
// byte outside of ASCII is the same as none: it could look like another one. (The vendor's own texts disagree on the
// letter case of op_svc_coc.)
func SameTrustName(a, b string) bool {
	return a != "" && isASCII(a) && isASCII(b) && strings.EqualFold(a, b)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func orUnnamed(name string) string {
	if name == "" {
		return "without a name"
	}
	return name
}
