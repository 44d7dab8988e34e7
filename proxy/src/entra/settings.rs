//! Which tenant, at which authority, with which token file.

use std::path::PathBuf;

use reqwest::Url;
use thiserror::Error;

/// Where tokens come from, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) endpoint: Url,
    pub(super) tenant_id: String,
    pub(super) token_file: PathBuf,
}

/// What is wrong with the settings.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingsError {
    /// The authority is no URL.
    #[error("the authority host {0:?} is not a URL such as https://login.microsoftonline.com/")]
    AuthorityNotUrl(String),
    /// The authority is not `https`, or has parts that mean nothing there.
    #[error(
        "the authority host {0:?} must begin with https:// and have no user, query or fragment"
    )]
    AuthorityNotPlainHttps(String),
    /// The tenant has characters that no tenant has.
    #[error("the tenant {0:?} is neither a GUID nor a domain")]
    Tenant(String),
}

impl Settings {
    /// Checks the settings. The authority may end in a slash or not.
    ///
    /// # Errors
    /// The first thing that is wrong with the authority, and with the tenant.
    pub fn new(
        authority_host: &str,
        tenant_id: &str,
        token_file: PathBuf,
    ) -> Result<Self, Vec<SettingsError>> {
        let authority = authority(authority_host);
        let tenant = tenant(tenant_id);
        match (authority, tenant) {
            (Ok(mut endpoint), Ok(tenant_id)) => {
                let base = endpoint.path().trim_end_matches('/');
                let path = format!("{base}/{tenant_id}/oauth2/v2.0/token");
                endpoint.set_path(&path);
                Ok(Self {
                    endpoint,
                    tenant_id,
                    token_file,
                })
            }
            (authority, tenant) => Err(authority.err().into_iter().chain(tenant.err()).collect()),
        }
    }

    /// The service account token's file.
    pub fn token_file(&self) -> &std::path::Path {
        &self.token_file
    }
}

fn authority(host: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(host.trim())
        .ok()
        .filter(Url::has_host)
        .ok_or_else(|| SettingsError::AuthorityNotUrl(host.to_owned()))?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(SettingsError::AuthorityNotPlainHttps(host.to_owned()));
    }
    Ok(url)
}

/// The characters that azidentity lets through too.
fn tenant(id: &str) -> Result<String, SettingsError> {
    let id = id.trim();
    let known = |character: char| character.is_ascii_alphanumeric() || "-.".contains(character);
    if id.is_empty() || !id.chars().all(known) || id.chars().all(|character| character == '.') {
        return Err(SettingsError::Tenant(id.to_owned()));
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(authority: &str, tenant: &str) -> Result<String, Vec<SettingsError>> {
        Settings::new(authority, tenant, PathBuf::new()).map(|found| found.endpoint.into())
    }

    #[test]
    fn the_endpoint_has_no_double_slash() {
        for authority in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com/",
            "https://login.microsoftonline.com//",
        ] {
            let wanted = "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token";
            assert_eq!(endpoint(authority, " contoso.com\n").unwrap(), wanted);
        }
        assert_eq!(
            endpoint("https://adfs.local:8443/base/", "t").unwrap(),
            "https://adfs.local:8443/base/t/oauth2/v2.0/token",
        );
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let errors = endpoint("http://login.microsoftonline.com", "a/b").unwrap_err();
        assert!(matches!(
            errors.as_slice(),
            [
                SettingsError::AuthorityNotPlainHttps(_),
                SettingsError::Tenant(_)
            ]
        ));
    }

    #[test]
    fn odd_authorities_and_tenants_are_refused() {
        for authority in [
            "",
            "login.microsoftonline.com",
            "https://",
            "https://a@b/",
            "https://a/?q",
            "file:///x",
        ] {
            assert!(endpoint(authority, "t").is_err(), "{authority}");
        }
        for tenant in ["", "..", ".", "a/b", "a?b", "ü", "a b"] {
            assert!(endpoint("https://a/", tenant).is_err(), "{tenant}");
        }
    }
}
