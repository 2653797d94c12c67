# The auditor's way into one member account: an agency that trusts the account of the auditor's own key and may do no more than
# read agencies. Apply it with the provider's credentials for the member account. ../README.md shows how, account by account.

terraform {
  required_version = ">= 1.3"
  required_providers {
    huaweicloud = {
      source  = "huaweicloud/huaweicloud"
      version = ">= 1.64.0"
    }
  }
}

variable "auditor_account_name" {
  description = "Name of the account that the auditor's own key belongs to."
  type        = string
}

variable "agency_name" {
  description = "Name of the agency: what access.agency says in the auditor's configuration."
  type        = string
  default     = "AgencyAuditReader"
}

variable "policy_name" {
  description = "Name of the custom policy with the least rights."
  type        = string
  default     = "AgencyAuditReader"
}

variable "system_policies" {
  description = "System-defined policies to grant beside it, such as IAM ReadOnlyAccess, where the site does not know one of its actions."
  type        = list(string)
  default     = []
}

resource "huaweicloud_identity_role" "reader" {
  name        = var.policy_name
  description = "Lets agencyaudit read agencies and their permissions. Nothing else."
  type        = "AX"
  policy      = file("${path.module}/../../v1.1/reader.json")
}

resource "huaweicloud_identity_agency" "reader" {
  name                  = var.agency_name
  description           = "Lets agencyaudit read agencies and their permissions. Nothing else."
  delegated_domain_name = var.auditor_account_name
  duration              = "FOREVER"
  domain_roles          = concat([huaweicloud_identity_role.reader.name], var.system_policies)
}

output "agency_id" {
  description = "Id of the agency, for the resource of the policy that lets the auditor's key assume it."
  value       = huaweicloud_identity_agency.reader.id
}
