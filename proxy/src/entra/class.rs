//! Classes of Entra's errors: what each means for the next attempt.

use std::time::Duration;

use crate::token::ExchangeErrorKind;

/// Classes of errors, by Entra's documented codes and by measurements of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Entra did not accept the assertion. kubelet may just have replaced it.
    Assertion,
    /// Every attempt fails until the configuration changes.
    Permanent,
    /// Entra finds no matching federated credential. A new one takes a while to propagate, and existing
    /// ones are sometimes missed (azwi#977; keda#8152: 2 %), so another attempt may succeed.
    Propagation,
    /// Entra limits the rate of requests.
    Throttled,
    /// The next attempt may succeed.
    Transient,
}

impl Class {
    /// The class of an error answer. The status is compared first, because Microsoft warns that codes
    /// change.
    pub(super) fn of(status: u16, error: &str, code: Option<u32>) -> Self {
        match (status, code) {
            (429, _) | (_, Some(LOOP | 90055)) => Self::Throttled,
            (_, Some(70021 | 700211 | 700212 | 700213)) => Self::Propagation,
            (_, Some(700024 | 700027 | 50013 | 50027 | 900384)) => Self::Assertion,
            (_, Some(90036 | 90092 | 50086)) => Self::Permanent,
            (_, Some(90061 | 90033 | 90006 | 90012 | 90024 | 90090 | 90091 | 50033 | 70012))
            | (408 | 500..=599, _) => Self::Transient,
            // A success without a token: something between the proxy and Entra answered.
            (200..=299, _) => Self::Transient,
            _ if error == "temporarily_unavailable" => Self::Transient,
            _ => Self::Permanent,
        }
    }

    /// The kind of failure for the token store.
    pub(super) fn kind(self) -> ExchangeErrorKind {
        match self {
            Self::Assertion | Self::Permanent | Self::Propagation => ExchangeErrorKind::Permanent,
            Self::Throttled => ExchangeErrorKind::Throttled,
            Self::Transient => ExchangeErrorKind::Transient,
        }
    }
}

/// The pause that Entra asks for: its `Retry-After`, and at least a minute when it reports a client in a
/// loop (AADSTS50196).
pub(super) fn retry_after(header: Option<Duration>, code: Option<u32>) -> Option<Duration> {
    match code {
        Some(LOOP) => Some(header.unwrap_or_default().max(LOOP_PAUSE)),
        _ => header,
    }
}

const LOOP: u32 = 50196;
const LOOP_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_codes_and_statuses() {
        for (status, code, class) in [
            (400, 70021, Class::Propagation),
            (401, 700211, Class::Propagation),
            (401, 700212, Class::Propagation),
            (401, 700213, Class::Propagation),
            (401, 700024, Class::Assertion),
            (401, 700027, Class::Assertion),
            (400, 90061, Class::Transient),
            (503, 90033, Class::Transient),
            (400, 90033, Class::Transient),
            (500, 90036, Class::Permanent),
            (400, 50196, Class::Throttled),
            (400, 90055, Class::Throttled),
            (429, 0, Class::Throttled),
            (400, 700016, Class::Permanent),
            (400, 500011, Class::Permanent),
            (401, 7000112, Class::Permanent),
            (503, 0, Class::Transient),
            (404, 0, Class::Permanent),
            (302, 0, Class::Permanent),
            (200, 0, Class::Transient),
        ] {
            let found = Class::of(status, "invalid_client", (code != 0).then_some(code));
            assert_eq!(found, class, "{status} AADSTS{code}");
        }
        assert_eq!(
            Class::of(400, "temporarily_unavailable", None),
            Class::Transient
        );
    }

    #[test]
    fn a_loop_pauses_for_a_minute() {
        let secs = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(retry_after(None, Some(50196)), secs(60));
        assert_eq!(retry_after(secs(5), Some(50196)), secs(60));
        assert_eq!(retry_after(secs(5), None), secs(5));
    }
}
