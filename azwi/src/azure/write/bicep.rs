//! Bicep. A file deploys to one resource group, so it takes of its list what is in the group that it is
//! deployed to.

use std::collections::BTreeSet;
use std::fmt::{Result, Write};

use super::{az, comment};
use crate::azure::ResourceId;
use crate::azure::plan::Wanted;

/// A template, with the commands that deploy it. Applications are not resources of Azure: theirs are commands
/// of `az` in comments.
#[must_use]
pub fn bicep(wanted: &[Wanted]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, wanted);
    out
}

fn write(out: &mut String, wanted: &[Wanted]) -> Result {
    let paths = wanted.iter().map(|it| {
        let resource_id = it.identity.resource_id.as_deref();
        (it, resource_id.and_then(ResourceId::parse))
    });
    let managed: Vec<(&Wanted, ResourceId<'_>)> = paths
        .clone()
        .filter_map(|(it, path)| Some((it, path?)))
        .collect();
    let groups: BTreeSet<String> = managed.iter().map(|(_, path)| deployment(*path)).collect();
    if !groups.is_empty() {
        out.push_str(
            "// Save as federated-credentials.bicep, and deploy once for each resource group:\n",
        );
    }
    for group in groups {
        out.push_str(&comment("//  ", &group));
    }
    for (it, path) in paths {
        if path.is_none() {
            out.push_str("// An application is not in a resource group:\n");
            out.push_str(&comment("//  ", &az::creation(it).to_string()));
        }
    }
    if managed.is_empty() {
        return Ok(());
    }
    out.push_str("\nvar credentials = [\n");
    for (it, path) in managed {
        out.push_str("  {\n");
        for (key, value) in [
            ("subscription", path.subscription),
            ("resourceGroup", path.group),
            ("identity", path.name),
            ("name", &it.name),
            ("issuer", &it.issuer),
            ("subject", &it.subject),
            ("audience", &it.audience),
        ] {
            writeln!(out, "    {key}: {}", quoted(value))?;
        }
        out.push_str("  }\n");
    }
    out.push_str("]\n");
    out.push_str(RESOURCES);
    Ok(())
}

fn deployment(path: ResourceId<'_>) -> String {
    let call = az::Call::deployment(path.subscription, path.group);
    call.to_string()
}

/// A string of Bicep. A `$` before a brace would begin an expression.
fn quoted(text: &str) -> String {
    let mut out = String::from('\'');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '\\' => out.extend(['\\', character]),
            '$' if characters.peek() == Some(&'{') => out.push_str("\\$"),
            it if contract::terminal::is_control(it) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(it));
            }
            it => out.push(it),
        }
    }
    out.push('\'');
    out
}

const RESOURCES: &str = "
var here = filter(
  credentials,
  it => toLower(it.subscription) == toLower(subscription().subscriptionId) && toLower(it.resourceGroup) == toLower(resourceGroup().name)
)

// Azure refuses two writes to one identity at the same time.
@batchSize(1)
resource federatedCredentials 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [
  for it in here: {
    name: '${it.identity}/${it.name}'
    properties: {
      issuer: it.issuer
      subject: it.subject
      audiences: [
        it.audience
      ]
    }
  }
]
";
