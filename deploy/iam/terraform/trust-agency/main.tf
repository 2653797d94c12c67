# The auditor's way into one member account where IAM's identity policies are used: a trust agency that lets the account of the
# auditor's own key in, with an external id, and may do no more than read agencies. Apply it with the provider's credentials for
# the member account. ../README.md shows how, account by account.

terraform {
  required_version = ">= 1.3"
  required_providers {
    huaweicloud = {
      source  = "huaweicloud/huaweicloud"
      version = ">= 1.91.0"
    }
  }
}

variable "auditor_account_id" {
  description = "Id of the account that the auditor's own key belongs to."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.auditor_account_id))
    error_message = "An account's id has 32 lower-case hexadecimal digits."
  }
}

variable "external_id" {
  description = "What the auditor has to say when it assumes the agency: what access.external_id says in its configuration. No secret."
  type        = string
  validation {
    condition     = length(var.external_id) >= 2 && length(var.external_id) <= 1224
    error_message = "An external id has from 2 to 1224 characters."
  }
}

variable "agency_name" {
  description = "Name of the trust agency: what access.agency says in the auditor's configuration."
  type        = string
  default     = "AgencyAuditReader"
}

variable "policy_name" {
  description = "Name of the identity policy with the least rights."
  type        = string
  default     = "AgencyAuditReader"
}

resource "huaweicloud_identityv5_policy" "reader" {
  name            = var.policy_name
  description     = "Lets agencyaudit read agencies and their permissions. Nothing else."
  policy_document = file("${path.module}/../../v5.0/reader.json")
}

resource "huaweicloud_identity_trust_agency" "reader" {
  name         = var.agency_name
  description  = "Lets agencyaudit read agencies and their permissions. Nothing else."
  duration     = 3600
  policy_names = [huaweicloud_identityv5_policy.reader.name]

  trust_policy = jsonencode({
    Version = "5.0"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { IAM = [var.auditor_account_id] }
        Action    = ["sts:agencies:assume"]
        Condition = { StringEquals = { "sts:ExternalId" = [var.external_id] } }
      },
    ]
  })
}

output "agency_urn" {
  description = "Urn of the trust agency."
  value       = huaweicloud_identity_trust_agency.reader.urn
}
