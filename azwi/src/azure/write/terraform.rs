//! Terraform, with the providers azurerm 5 and azuread 3.

use std::collections::BTreeMap;
use std::fmt::{Result, Write};

use super::labels;
use crate::azure::plan::{Wanted, slug};

/// Resources, each of which depends on the one before it.
#[must_use]
pub fn terraform(wanted: &[Wanted]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, wanted);
    out
}

fn write(out: &mut String, wanted: &[Wanted]) -> Result {
    write_applications(out, wanted)?;
    let mut before = None;
    for (it, label) in wanted.iter().zip(labels(wanted, MAX_LABEL)) {
        let kind = match it.identity.resource_id {
            Some(_) => MANAGED,
            None => APPLICATION,
        };
        let (issuer, subject) = (quoted(&it.issuer), quoted(&it.subject));
        let (name, audience) = (quoted(&it.name), quoted(&it.audience));
        writeln!(out, "resource \"{kind}\" \"{label}\" {{")?;
        match &it.identity.resource_id {
            Some(resource_id) => {
                writeln!(out, "  name                      = {name}")?;
                writeln!(out, "  user_assigned_identity_id = {}", quoted(resource_id))?;
                writeln!(out, "  audience                  = [{audience}]")?;
                writeln!(out, "  issuer                    = {issuer}")?;
                writeln!(out, "  subject                   = {subject}")?;
            }
            None => {
                let data = data(&it.identity.client_id);
                writeln!(out, "  display_name   = {name}")?;
                writeln!(out, "  application_id = data.azuread_application.{data}.id")?;
                writeln!(out, "  audiences      = [{audience}]")?;
                writeln!(out, "  issuer         = {issuer}")?;
                writeln!(out, "  subject        = {subject}")?;
            }
        }
        if let Some(before) = before {
            writeln!(out, "\n  # Azure refuses two writes at the same time.")?;
            writeln!(out, "  depends_on = [{before}]")?;
        }
        writeln!(out, "}}\n")?;
        before = Some(format!("{kind}.{label}"));
    }
    Ok(())
}

fn write_applications(out: &mut String, wanted: &[Wanted]) -> Result {
    let applications: BTreeMap<String, &str> = wanted
        .iter()
        .filter(|it| it.identity.resource_id.is_none())
        .map(|it| (data(&it.identity.client_id), it.identity.client_id.as_str()))
        .collect();
    for (label, client_id) in applications {
        writeln!(out, "data \"azuread_application\" \"{label}\" {{")?;
        writeln!(out, "  client_id = {}\n}}\n", quoted(client_id))?;
    }
    Ok(())
}

/// The name of an application's data source.
fn data(client_id: &str) -> String {
    slug(&format!("application-{client_id}"), MAX_LABEL)
}

/// A string of HCL. A `$` or `%` before a brace would begin an expression.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '$' | '%' if characters.peek() == Some(&'{') => out.extend([character, character]),
            it if contract::terminal::is_control(it) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(it));
            }
            it => out.push(it),
        }
    }
    out.push('"');
    out
}

const MANAGED: &str = "azurerm_federated_identity_credential";
const APPLICATION: &str = "azuread_application_federated_identity_credential";
const MAX_LABEL: usize = 200;
