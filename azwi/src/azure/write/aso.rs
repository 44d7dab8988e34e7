//! Objects of Azure Service Operator, which repeats a write that Azure refuses.

use super::{az, comment, labels};
use crate::azure::plan::Wanted;
use crate::document;

/// Objects for a namespace of your choice. The operator knows no applications: theirs are commands of `az` in
/// comments.
#[must_use]
pub fn aso(wanted: &[Wanted]) -> String {
    let mut out = String::new();
    for (it, label) in wanted.iter().zip(labels(wanted, MAX_NAME)) {
        let Some(resource_id) = &it.identity.resource_id else {
            out.push_str(
                "# Azure Service Operator has no federated credentials of applications:\n",
            );
            out.push_str(&comment("#  ", &az::creation(it).to_string()));
            continue;
        };
        let label = label.to_ascii_lowercase();
        let name = label.trim_end_matches('-');
        out.push_str("---\napiVersion: managedidentity.azure.com/v1api20230131\n");
        out.push_str("kind: FederatedIdentityCredential\nmetadata:\n");
        out.push_str(&format!("  name: {name}\nspec:\n"));
        out.push_str(&format!("  azureName: {}\n", document::string(&it.name)));
        out.push_str(&format!(
            "  owner:\n    armId: {}\n",
            document::string(resource_id)
        ));
        out.push_str(&format!("  issuer: {}\n", document::string(&it.issuer)));
        out.push_str(&format!("  subject: {}\n", document::string(&it.subject)));
        out.push_str(&format!(
            "  audiences:\n    - {}\n",
            document::string(&it.audience)
        ));
    }
    out
}

/// Characters of an object's name that operators and `kubectl` show in full.
const MAX_NAME: usize = 200;
