//! The projected service account token.

/// The audience that Entra accepts in a federated token.
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The volume that the webhook adds.
pub const VOLUME: &str = "azure-identity-token";

/// Where the volume is mounted. The path is hard-coded in applications: it never changes.
pub const DIRECTORY: &str = "/var/run/secrets/azure/tokens";

/// Where the volume is mounted in a container that has something else at [`DIRECTORY`], in order of
/// preference: upstream's directory, then one that is below no directory of the system.
pub const OTHER_DIRECTORIES: [&str; 2] = [
    "/var/run/secrets/azure/wi/token",
    "/azure-workload-identity/token",
];

/// The token's file name in the volume.
pub const FILE: &str = "azure-identity-token";

/// The token's path in a container.
pub const PATH: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// The token's lifetime unless an annotation sets another, in seconds.
pub const DEFAULT_EXPIRATION_SECONDS: u32 = 3_600;

/// The shortest lifetime that the annotation may ask for, in seconds.
pub const MIN_EXPIRATION_SECONDS: u32 = 3_600;

/// The longest lifetime that the annotation may ask for, in seconds.
pub const MAX_EXPIRATION_SECONDS: u32 = 86_400;
