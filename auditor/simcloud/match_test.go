package simcloud

import "testing"

func TestMatchAction(t *testing.T) {
	for _, tt := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "iam:agencies:get", true},
		{"*:*:*", "iam:agencies:get", true},
		{"iam:*:get*", "iam:agencies:getAgency", true},
		{"iam:*:get*", "iam:agencies:get", true},
		{"iam:*:get*", "iam:agencies:forget", false},
		{"iam:*:get*", "eps:agencies:get", false},
		{"iam:agencies:*", "iam:permissions:get", false},
		{"iam:*", "iam:agencies:get", false},
		{"iam:*:*:*", "iam:agencies:get", false},
		{"i*m:agen*ies:g*t", "iam:agencies:get", true},
		{"iam:agencies:*V5", "iam:agencies:listV5", true},
		{"iam:agencies:*V5", "iam:agencies:list", false},
		{"iam:Agencies:LISTv5", "iam:agencies:listV5", true},
		{"IAM:agencies:listV5", "iam:agencies:listV5", false},
		{"iam:agencies:list", "iam:agencies:listV5", false},
		{"iam:agencies:a*b*a", "iam:agencies:aba", true},
		{"iam:agencies:a*b*a", "iam:agencies:aa", false},
		{"iam:agencies:ab*ba", "iam:agencies:aba", false},
		{"*iam:*:*", "iam:agencies:get", true},
		{"", "iam:agencies:get", false},
	} {
		if got := matchAction(tt.pattern, tt.action); got != tt.want {
			t.Errorf("matchAction(%q, %q) = %t", tt.pattern, tt.action, got)
		}
	}
}
