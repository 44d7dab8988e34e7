//! The rendered bodies that the API keeps with each token, so that a token in memory costs no rendering
//! (law 4).

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use super::answer::{self, Answer};
use super::app_service::{self, Version};
use super::error::ApiError;
use super::imds;
use crate::token::Token;

/// The bodies of one token, each rendered for the first request that needs it.
#[derive(Default)]
pub struct View {
    imds: OnceLock<Bytes>,
    app_service_2017: OnceLock<Bytes>,
    app_service_2019: OnceLock<Bytes>,
}

/// The format of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// App Service's endpoint.
    AppService(Version),
    /// The Azure Instance Metadata Service.
    Imds,
}

impl Protocol {
    /// 200 with a token.
    pub(crate) fn token(self, token: &Token<View>) -> Answer {
        let (body, render): (_, fn(&Token<View>) -> Bytes) = match self {
            Self::Imds => (&token.view.imds, imds::token),
            Self::AppService(Version::V2017) => (&token.view.app_service_2017, |token| {
                app_service::token(token, Version::V2017)
            }),
            Self::AppService(Version::V2019) => (&token.view.app_service_2019, |token| {
                app_service::token(token, Version::V2019)
            }),
        };
        answer::json(body.get_or_init(|| render(token)).clone())
    }

    /// An error.
    pub(crate) fn error(self, error: &ApiError) -> Answer {
        match self {
            Self::Imds => imds::error(error),
            Self::AppService(_) => app_service::error(error),
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bodies hold the secret.
        formatter.write_str("View")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing;

    #[test]
    fn law_4_renders_each_body_once() {
        let token = testing::token("e.y.J", 1_505_401_445);
        for protocol in [
            Protocol::Imds,
            Protocol::AppService(Version::V2017),
            Protocol::AppService(Version::V2019),
        ] {
            let body = |answer: Answer| answer.into_body().into_inner().unwrap();
            let [first, second] = [(); 2].map(|()| body(protocol.token(&token)));
            assert_eq!(first.as_ptr(), second.as_ptr(), "{protocol:?}");
        }
        assert!(!format!("{:?}", token.view).contains("e.y.J"));
    }
}
