//! The exchange of a service account token for a token of Entra, without the tokens.

use proxy::entra::Class;

/// One or several exchanges of one workload's token.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The client id.
    pub client_id: String,
    /// The tenant.
    pub tenant: String,
    /// The authority, with a trailing slash.
    pub authority: String,
    /// The outcome of each attempt, in order.
    pub attempts: Vec<Result<Granted, Rejected>>,
}

impl Exchange {
    /// What Entra granted last, `None` when no exchange succeeded.
    #[must_use]
    pub fn granted(&self) -> Option<&Granted> {
        self.attempts.iter().find_map(|it| it.as_ref().ok())
    }

    /// The last refusal.
    #[must_use]
    pub fn rejected(&self) -> Option<&Rejected> {
        let mut attempts = self.attempts.iter().rev();
        attempts.find_map(|it| it.as_ref().err())
    }
}

/// The claims of a token of Entra.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The object id of the service principal, which role assignments name.
    pub object_id: String,
    /// The client id.
    pub client_id: String,
    /// The tenant.
    pub tenant: String,
    /// The resource.
    pub audience: String,
    /// Roles of applications. Azure's own roles are not in a token.
    pub roles: Vec<String>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The HTTP status, 0 without an answer.
    pub status: u16,
    /// The number in `AADSTSnnn`.
    pub code: Option<u32>,
    /// What the error means for another attempt.
    pub class: Class,
    /// Entra's text, or the error of the connection, without tokens.
    pub description: String,
    /// The same with what was presented and the likely fix.
    pub explained: String,
}
