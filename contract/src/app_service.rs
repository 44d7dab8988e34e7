//! App Service's token endpoint, which Azure SDKs prefer to IMDS if its variables are set. In mode
//! `environment` the webhook sets them and the proxy answers.

/// The path of the token endpoint on the proxy.
pub const PATH: &str = "/msi/token";

/// Version 2019-08-01: the endpoint's address.
pub const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
/// Version 2019-08-01: the secret in each request.
pub const IDENTITY_HEADER: &str = "IDENTITY_HEADER";

/// Version 2017-09-01: the endpoint's address.
pub const MSI_ENDPOINT: &str = "MSI_ENDPOINT";
/// Version 2017-09-01: the secret in each request.
pub const MSI_SECRET: &str = "MSI_SECRET";

/// Its presence makes msrestazure use [`MSI_ENDPOINT`] as App Service's.
pub const SITE_NAME: &str = "APPSETTING_WEBSITE_SITE_NAME";

/// The address that SDKs use instead of that of IMDS. Requests to it have no secret.
pub const IMDS_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// The minimal length of the secret, in characters.
pub const MIN_SECRET_LENGTH: usize = 32;
