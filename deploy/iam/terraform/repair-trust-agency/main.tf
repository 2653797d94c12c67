# The way into one member account for one of the two kinds of repair, apart from the reader's, where IAM's identity policies are used: a
# trust agency that lets the account of the key that repairs in, with an external id, and may do no more than that. Apply it with the
# provider's credentials for the member account, once for each kind.

terraform {
  required_version = ">= 1.3"
  required_providers {
    huaweicloud = {
      source  = "huaweicloud/huaweicloud"
      version = ">= 1.91.0"
    }
  }
}

variable "repair" {
  description = "Which kind of repair it is for: grant, for what is missing, or revoke, for what is too much."
  type        = string
  validation {
    condition     = contains(["grant", "revoke"], var.repair)
    error_message = "Either grant or revoke."
  }
}

variable "repair_account_id" {
  description = "Id of the account that the key belongs to with which agencyaudit repairs."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.repair_account_id))
    error_message = "An account's id has 32 lower-case hexadecimal digits."
  }
}

variable "external_id" {
  description = "What agencyaudit has to say when it assumes the agency: external_id beside the agency in the configuration. No secret."
  type        = string
  validation {
    condition     = length(var.external_id) >= 2 && length(var.external_id) <= 1224
    error_message = "An external id has from 2 to 1224 characters."
  }
}

variable "agency_name" {
  description = "Name of the trust agency, and of its policy: what remediation.missing.agency or remediation.excess.agency says in the configuration."
  type        = string
}

resource "huaweicloud_identityv5_policy" "repair" {
  name            = var.agency_name
  description     = "Lets agencyaudit ${var.repair} permissions of agencies. Nothing else."
  policy_document = file("${path.module}/../../v5.0/repair-${var.repair}.json")
}

resource "huaweicloud_identity_trust_agency" "repair" {
  name         = var.agency_name
  description  = "Lets agencyaudit ${var.repair} permissions of agencies. Nothing else."
  duration     = 3600
  policy_names = [huaweicloud_identityv5_policy.repair.name]

  trust_policy = jsonencode({
    Version = "5.0"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { IAM = [var.repair_account_id] }
        Action    = ["sts:agencies:assume"]
        Condition = { StringEquals = { "sts:ExternalId" = [var.external_id] } }
      },
    ]
  })
}

output "agency_urn" {
  description = "Urn of the trust agency."
  value       = huaweicloud_identity_trust_agency.repair.urn
}
