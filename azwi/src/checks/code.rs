//! Codes of findings. A code never changes its meaning, and none is used again.

use std::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Pods do not get their identity.
    Error,
    /// Pods may not get their identity, or not the one that is expected.
    Warning,
    /// Worth knowing. Not a finding for the exit code.
    Information,
}

impl Severity {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
        }
    }
}

/// Declares the codes: name, text, severity.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $severity:ident;)+) => {
        /// The cause that a finding names. `docs/checks.md` has a heading for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code's text, such as `AZWI-W001`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// How much it matters.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)+
                }
            }
        }
    };
}

codes! {
    /// No webhook selects the label.
    NoWebhook = "AZWI-I001", Error;
    /// The webhook's Service does not exist.
    NoService = "AZWI-I002", Error;
    /// The webhook's Service has no ready endpoint.
    NoEndpoint = "AZWI-I003", Error;
    /// The API server cannot verify the webhook's certificate.
    Bundle = "AZWI-I004", Error;
    /// Two installations select the label.
    SecondWebhook = "AZWI-I005", Warning;
    /// Pods start without identity while the webhook is away.
    FailurePolicy = "AZWI-I006", Information;
    /// The webhook's image is not of the chart's version.
    Version = "AZWI-I007", Information;
    /// The API server cannot call the webhook.
    NotCalled = "AZWI-I008", Error;
    /// The API server is too old for the chart.
    TooOld = "AZWI-I009", Error;
    /// The API server lacks what the product can use.
    OldApiServer = "AZWI-I010", Information;
    /// The user lacks rights to install the chart.
    NoRight = "AZWI-I011", Error;
    /// The pod template lacks the label.
    Label = "AZWI-W001", Error;
    /// The webhook refuses the pods.
    Denied = "AZWI-W002", Error;
    /// The webhook does not act in the namespace.
    Namespace = "AZWI-W003", Error;
    /// The webhook warns of the pods.
    Warned = "AZWI-W004", Warning;
    /// Pods have no token.
    NoToken = "AZWI-W005", Error;
    /// Pods lack the proxy that they ask for.
    NoProxy = "AZWI-W006", Error;
    /// Pods have an identity that their service account no longer names.
    Stale = "AZWI-W007", Warning;
    /// Pods cannot be created.
    NotCreated = "AZWI-W008", Error;
    /// An SDK that does not know workload identity needs the proxy.
    OldSdk = "AZWI-W009", Information;
    /// The API server admits new pods without token.
    NotInjected = "AZWI-W010", Error;
    /// The template lacks the label, and a driver or an operator uses its account.
    UsedElsewhere = "AZWI-W011", Information;
    /// Pods were injected by an older version.
    Outdated = "AZWI-W012", Warning;
    /// Init containers run before the redirect.
    BeforeRedirect = "AZWI-W013", Warning;
    /// A container with an injected one's name has another image.
    OtherImage = "AZWI-W014", Warning;
    /// The API server would refuse a new pod.
    WouldBeRefused = "AZWI-W015", Warning;
    /// NetworkPolicies leave the pods no way to Entra.
    NoWayOut = "AZWI-W016", Warning;
    /// A container mounts the token with `subPath`.
    FixedToken = "AZWI-W017", Warning;
    /// Newer SDKs may not ask the proxy.
    PassesProxy = "AZWI-W018", Information;
    /// The service account has no client id.
    NoClientId = "AZWI-S001", Error;
    /// The client id is on another object than the service account.
    Misplaced = "AZWI-S002", Error;
    /// The service account does not exist.
    NoAccount = "AZWI-S003", Error;
    /// The client id or the tenant id cannot be one.
    Malformed = "AZWI-S004", Error;
    /// Nothing uses the service account.
    Unused = "AZWI-S005", Information;
    /// Every pod of the namespace may get the identity.
    DefaultAccount = "AZWI-S006", Information;
    /// The client id is the principal id of an identity.
    PrincipalId = "AZWI-S007", Error;
    /// The tenant has no identity with the client id.
    NoApplication = "AZWI-S008", Error;
    /// Entra has no such tenant.
    NoTenant = "AZWI-S009", Error;
    /// The pods have the default service account, and another has the client id.
    OtherAccount = "AZWI-S010", Error;
    /// An identity needs more federated credentials than it can have.
    Slots = "AZWI-F001", Warning;
    /// The federated credential that the workload needs.
    Needed = "AZWI-F002", Information;
    /// The identity lacks the federated credential.
    NoCredential = "AZWI-F003", Error;
    /// A federated credential differs from the token by a slip.
    NearMiss = "AZWI-F004", Error;
    /// A federated credential's service account does not exist.
    Dangling = "AZWI-F005", Warning;
    /// An identity has few places for federated credentials left.
    FewSlots = "AZWI-F006", Information;
    /// Entra accepts the token only at times.
    Propagating = "AZWI-F007", Warning;
    /// Entra has no federated credential for the token.
    NotAccepted = "AZWI-F008", Error;
    /// Entra gives the workload a token.
    Exchanged = "AZWI-F009", Information;
    /// Entra refuses the token for another reason.
    OtherRefusal = "AZWI-F010", Error;
    /// The token is not signed with RS256.
    Algorithm = "AZWI-T001", Error;
    /// Entra cannot reach the issuer.
    PrivateIssuer = "AZWI-T002", Error;
    /// The token's issuer is not that of the discovery document.
    OtherIssuer = "AZWI-T003", Error;
    /// The token's key is not in the issuer's key set.
    UnknownKey = "AZWI-T004", Error;
    /// The issuer's documents are not public.
    NotPublic = "AZWI-T005", Error;
    /// The published key set lacks the token's key.
    OldKeys = "AZWI-T006", Error;
    /// The published key is for something else.
    KeyUse = "AZWI-T007", Error;
    /// Entra cannot be reached.
    NoEntra = "AZWI-T008", Error;
    /// A key that the API server accepts is not published.
    UnpublishedKey = "AZWI-T009", Warning;
    /// A published key is none of the API server.
    FormerKey = "AZWI-T010", Information;
    /// The private part of a key is published.
    SecretKey = "AZWI-T011", Error;
    /// The token file in a container is unusable.
    TokenFile = "AZWI-T012", Error;
    /// The token file in a container is renewed.
    FreshFile = "AZWI-T013", Information;
}

impl Code {
    /// The letter of its category: I installation, W workload, S service account, F federated credential, T
    /// token and issuer.
    #[must_use]
    pub fn category(self) -> char {
        let letters = self.as_str().strip_prefix("AZWI-").unwrap_or_default();
        letters.chars().next().unwrap_or_default()
    }

    /// Its place in the documentation.
    #[must_use]
    pub fn page(self) -> String {
        format!("docs/checks.md#{}", self.as_str().to_ascii_lowercase())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
