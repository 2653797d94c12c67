# The way into one member account for one of the two kinds of repair, apart from the reader's: an agency that trusts the account of the
# key that repairs, and may do no more than that. Apply it with the provider's credentials for the member account, once for each kind.

terraform {
  required_version = ">= 1.3"
  required_providers {
    huaweicloud = {
      source  = "huaweicloud/huaweicloud"
      version = ">= 1.64.0"
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

variable "repair_account_name" {
  description = "Name of the account that the key belongs to with which agencyaudit repairs."
  type        = string
}

variable "agency_name" {
  description = "Name of the agency, and of its policy: what remediation.missing.agency or remediation.excess.agency says in the configuration."
  type        = string
}

resource "huaweicloud_identity_role" "repair" {
  name        = var.agency_name
  description = "Lets agencyaudit ${var.repair} permissions of agencies. Nothing else."
  type        = "AX"
  policy      = file("${path.module}/../../v1.1/repair-${var.repair}.json")
}

resource "huaweicloud_identity_agency" "repair" {
  name                  = var.agency_name
  description           = "Lets agencyaudit ${var.repair} permissions of agencies. Nothing else."
  delegated_domain_name = var.repair_account_name
  duration              = "FOREVER"
  domain_roles          = [huaweicloud_identity_role.repair.name]
}

output "agency_id" {
  description = "Id of the agency, for the resource of the policy that lets the key that repairs assume it."
  value       = huaweicloud_identity_agency.repair.id
}
