//! The shape of client ids and tenants.

use contract::value::Tenant;

pub(super) use contract::value::is_guid;

/// Whether the text can be a tenant.
pub(super) fn is_tenant(text: &str) -> bool {
    text.parse::<Tenant>().is_ok()
}
