//! The tenant, its authority, and the token file.

use std::path::{Path, PathBuf};

use contract::value::{Authority, Tenant};
use reqwest::Url;
use thiserror::Error;

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) endpoint: Url,
    pub(super) tenant_id: String,
    pub(super) token_file: PathBuf,
}

/// The HTTP library cannot use the authority. A test shows that it can use every [`Authority`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the authority host {authority:?} cannot be used: {reason}")]
pub struct SettingsError {
    authority: String,
    reason: String,
}

impl Settings {
    /// Settings for a tenant of this authority. The service account token is read from `token_file`.
    ///
    /// # Errors
    ///
    /// The HTTP library cannot use the authority.
    pub fn new(
        authority: &Authority,
        tenant: &Tenant,
        token_file: PathBuf,
    ) -> Result<Self, SettingsError> {
        let endpoint = format!("{authority}{tenant}/oauth2/v2.0/token");
        Ok(Self {
            endpoint: Url::parse(&endpoint).map_err(|reason| SettingsError {
                authority: authority.to_string(),
                reason: reason.to_string(),
            })?,
            tenant_id: tenant.to_string(),
            token_file,
        })
    }

    /// The resource of Azure Resource Manager in the authority's cloud, without a slash at the end as most
    /// SDKs ask for it. For an authority that is no cloud's, that of the public cloud.
    #[must_use]
    pub fn resource_manager(&self) -> &'static str {
        match self.endpoint.host_str() {
            Some("login.microsoftonline.us" | "login-us.microsoftonline.com") => {
                "https://management.usgovcloudapi.net"
            }
            Some("login.chinacloudapi.cn" | "login.partner.microsoftonline.cn") => {
                "https://management.chinacloudapi.cn"
            }
            Some("login.microsoftonline.de") => "https://management.microsoftazure.de",
            _ => "https://management.azure.com",
        }
    }

    /// The service account token's file.
    #[must_use]
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(authority: &str, tenant: &str) -> String {
        let (authority, tenant) = (authority.parse().unwrap(), tenant.parse().unwrap());
        let settings = Settings::new(&authority, &tenant, PathBuf::new()).unwrap();
        settings.endpoint.into()
    }

    #[test]
    fn the_endpoint_has_no_double_slash() {
        for authority in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com/",
            "https://login.microsoftonline.com//",
        ] {
            let wanted = "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token";
            assert_eq!(endpoint(authority, " contoso.com\n"), wanted);
        }
        assert_eq!(
            endpoint("https://adfs.local:8443/base/", "t"),
            "https://adfs.local:8443/base/t/oauth2/v2.0/token",
        );
    }

    #[test]
    fn the_resource_manager_is_that_of_the_cloud() {
        for (authority, wanted) in [
            (
                "https://login.microsoftonline.com/",
                "https://management.azure.com",
            ),
            (
                "https://Login.MicrosoftOnline.us",
                "https://management.usgovcloudapi.net",
            ),
            (
                "https://login.chinacloudapi.cn/",
                "https://management.chinacloudapi.cn",
            ),
            (
                "https://adfs.local:8443/base/",
                "https://management.azure.com",
            ),
        ] {
            let (authority, tenant) = (authority.parse().unwrap(), "t".parse().unwrap());
            let settings = Settings::new(&authority, &tenant, PathBuf::new()).unwrap();
            assert_eq!(settings.resource_manager(), wanted, "{authority}");
        }
    }

    proptest! {
        #[test]
        fn the_http_library_can_use_every_authority(
            text in r"https://([a-zA-Z0-9._-]{1,12}|[0-9.]{1,9}|0x[0-9a-f.]{0,4}|\[[0-9a-f:.]{1,9}\])(:[0-9]{1,5})?(/[!-~]{0,8})?",
        ) {
            if let Ok(authority) = text.parse::<Authority>() {
                let tenant = "contoso.com".parse().unwrap();
                let settings = Settings::new(&authority, &tenant, PathBuf::new());
                prop_assert!(settings.is_ok(), "{settings:?}");
                let host = settings.unwrap().endpoint.host_str().map(str::to_owned);
                prop_assert!(host.is_some_and(|host| !host.is_empty()));
            }
        }
    }
}
