//! Writes federated credentials for the tools that create them. Azure refuses two writes to one managed
//! identity at the same time (409), so every output makes its tool write one after the other.

mod aso;
mod az;
mod bicep;
mod terraform;

pub use aso::aso;
pub use az::{Call, az, creation, removal, update};
pub use bicep::bicep;
pub use terraform::terraform;

use std::collections::BTreeMap;

use webhook::inject::printable;

use super::plan::{Wanted, short_hash, slug};

/// A name for each in files: letters, digits and hyphens, at most `max`, none twice.
fn labels(wanted: &[Wanted], max: usize) -> Vec<String> {
    let label = |it: &Wanted| slug(&format!("{}-{}", it.identity.name, it.name), max - HASH);
    let mut uses = BTreeMap::<String, usize>::new();
    for it in wanted {
        *uses.entry(label(it).to_ascii_lowercase()).or_default() += 1;
    }
    let unique = |it: &Wanted| {
        let label = label(it);
        if uses.get(&label.to_ascii_lowercase()) == Some(&1) {
            return label;
        }
        let identity = &it.identity;
        let resource_id = identity.resource_id.as_deref().unwrap_or_default();
        let hash = short_hash(&[&identity.client_id, resource_id, &it.name]);
        format!("{label}-{hash}")
    };
    wanted.iter().map(unique).collect()
}

/// A comment of one line.
fn comment(mark: &str, text: &str) -> String {
    format!("{mark} {}\n", printable(text))
}

/// Characters of a hash and its hyphen.
const HASH: usize = 11;

#[cfg(test)]
mod tests;
