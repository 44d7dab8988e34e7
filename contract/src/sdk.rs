//! Variables that Azure SDKs read for credentials of other kinds. Users set them, and no program of the
//! product writes them.

/// The credentials that `DefaultAzureCredential` tries: `dev`, `prod`, or the name of one.
pub const TOKEN_CREDENTIALS: &str = "AZURE_TOKEN_CREDENTIALS";

/// A secret of the application `AZURE_CLIENT_ID`.
pub const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";

/// A certificate of the application `AZURE_CLIENT_ID`.
pub const CLIENT_CERTIFICATE_PATH: &str = "AZURE_CLIENT_CERTIFICATE_PATH";

/// A user's name, beside [`PASSWORD`].
pub const USERNAME: &str = "AZURE_USERNAME";

/// The password of the user [`USERNAME`].
pub const PASSWORD: &str = "AZURE_PASSWORD";
