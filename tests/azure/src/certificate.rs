//! The names of the servers' certificate. It and its CA are new at every start, and the CA's key is
//! dropped at once.

use std::sync::Arc;

use rustls::ServerConfig;
use testkit::certificate::{Authority, CertificateError};

/// The CA's certificate in PEM, and the configuration of a TLS server.
pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    pub(crate) server: Arc<ServerConfig>,
}

impl Certificates {
    /// Makes a CA, and a certificate for the usual names and these.
    pub(crate) fn make(more_names: &[String]) -> Result<Self, CertificateError> {
        let authority = Authority::new("Azure emulator test CA")?;
        let mut names = NAMES.to_vec();
        names.extend(more_names.iter().map(String::as_str));
        Ok(Self {
            ca_pem: authority.certificate().to_owned(),
            server: authority
                .server("Azure emulator", &names)?
                .server_config()?,
        })
    }
}

/// Names that the certificate always has.
const NAMES: [&str; 20] = [
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
    "login.microsoftonline.us",
    "login.usgovcloudapi.net",
    "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
    "login.microsoftonline.de",
    "login-us.microsoftonline.com",
    "login.sovcloud-identity.fr",
    "login.sovcloud-identity.de",
    "login.sovcloud-identity.sg",
    "management.azure.com",
    "*.vault.azure.net",
    "*.vault.usgovcloudapi.net",
    "*.vault.azure.cn",
    "*.z1.web.core.windows.net",
    "localhost",
    "127.0.0.1",
];
