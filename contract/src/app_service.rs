//! App Service's way to a token: what Azure SDKs read from the environment before they think of
//! IMDS. In mode `environment` the webhook sets it and the proxy answers.

/// The path of the token endpoint on the proxy.
pub const PATH: &str = "/msi/token";

/// Version 2019-08-01: the endpoint's address.
pub const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
/// Version 2019-08-01: the secret that goes with each request.
pub const IDENTITY_HEADER: &str = "IDENTITY_HEADER";

/// Version 2017-09-01: the endpoint's address.
pub const MSI_ENDPOINT: &str = "MSI_ENDPOINT";
/// Version 2017-09-01: the secret that goes with each request.
pub const MSI_SECRET: &str = "MSI_SECRET";

/// What tells msrestazure that [`MSI_ENDPOINT`] is App Service's.
pub const SITE_NAME: &str = "APPSETTING_WEBSITE_SITE_NAME";

/// Where SDKs look for IMDS instead of its address. They ask it as they would ask IMDS, without a
/// secret.
pub const IMDS_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// The fewest characters of a secret that is worth the name.
pub const MIN_SECRET_LENGTH: usize = 32;
