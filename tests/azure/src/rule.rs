//! Rules: faults and other changes of the usual answers, set while the emulator runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::Service;

/// Changes the answers to some requests. Absent selectors match everything. Each matching rule adds its
/// delay; the first with an answer or a connection fault decides the answer.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The service that gets the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// The tenant in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The client id in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The scope, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The beginning of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The number of matching requests to skip first.
    pub skip: u64,
    /// The number of matching requests to apply to after those; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// The number of matching requests in each second to leave alone, as a limit of rate does; absent for
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_per_second: Option<u32>,

    /// Milliseconds to wait before the answer.
    pub delay_ms: u64,
    /// Entra's own error of this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aadsts: Option<u32>,
    /// An answer in place of the original's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// The fault of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionFault>,
    /// The changes of issued tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenChange>,
}

/// An answer in place of the original's.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// The HTTP status code.
    pub status: u16,
    /// The headers; without `content-type` the answer has none.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, as text.
    #[serde(default)]
    pub body: String,
    /// The number of spaces after the body.
    #[serde(default)]
    pub padding_bytes: usize,
}

/// A fault of a request's connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionFault {
    /// Resets it (RST) in place of an answer.
    Reset,
    /// Resets it after the headers and half of the body.
    ResetMidBody,
    /// Keeps it open without an answer.
    Hang,
}

/// Changes of issued tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenChange {
    /// `expires_in`, in seconds; zero and less gives an expired token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<i64>,
    /// `refresh_in`, in seconds; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_in: Option<i64>,
    /// Characters added to the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding_bytes: Option<usize>,
    /// How far Entra's clock is ahead, in seconds, for the assertion's validity and the token's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_seconds: Option<i64>,
}

impl TokenChange {
    /// Both changes; this one wins where both have a value.
    fn or(self, other: Self) -> Self {
        Self {
            lifetime_seconds: self.lifetime_seconds.or(other.lifetime_seconds),
            refresh_in: self.refresh_in.or(other.refresh_in),
            padding_bytes: self.padding_bytes.or(other.padding_bytes),
            clock_skew_seconds: self.clock_skew_seconds.or(other.clock_skew_seconds),
        }
    }
}

/// The parts of a request that rules select by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) service: Service,
    pub(crate) path: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) scope: Option<&'a str>,
}

/// The combined effect of the rules on one request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) delay_ms: u64,
    pub(crate) answer: Option<Answer>,
    pub(crate) connection: Option<ConnectionFault>,
    pub(crate) token: TokenChange,
}

/// An answer that a rule gives.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Aadsts(u32),
    Respond(Respond),
}

/// A rule with its number and its count of matches.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RuleState {
    /// Its number, for removing it.
    pub id: u64,
    /// The number of requests that matched its selectors.
    pub matched: u64,
    /// The rule as it was added.
    pub rule: Rule,
    #[serde(skip)]
    second: Option<Second>,
}

/// A second, and the matching requests in it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Second {
    begin: Instant,
    requests: u32,
}

/// The rules in force, in the order that they were added.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    last_id: u64,
    rules: Vec<RuleState>,
}

impl Rules {
    /// Adds a rule and returns its number.
    pub(crate) fn add(&mut self, rule: Rule) -> u64 {
        self.last_id += 1;
        self.rules.push(RuleState {
            id: self.last_id,
            matched: 0,
            rule,
            second: None,
        });
        self.last_id
    }

    /// Removes a rule. Returns false when no rule has this number.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|state| state.id != id);
        self.rules.len() != before
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn all(&self) -> &[RuleState] {
        &self.rules
    }

    /// Counts the request and returns the combined effect of the rules.
    pub(crate) fn judge(&mut self, subject: Subject<'_>, now: Instant) -> Verdict {
        let mut verdict = Verdict::default();
        for state in &mut self.rules {
            if !state.rule.matches(subject) || !state.applies(now) {
                continue;
            }
            let rule = &state.rule;
            verdict.delay_ms += rule.delay_ms;
            verdict.connection = verdict.connection.or(rule.connection);
            if let Some(token) = rule.token {
                verdict.token = verdict.token.or(token);
            }
            if verdict.answer.is_none() {
                verdict.answer = match (rule.aadsts, &rule.respond) {
                    (Some(code), _) => Some(Answer::Aadsts(code)),
                    (None, Some(respond)) => Some(Answer::Respond(respond.clone())),
                    (None, None) => None,
                };
            }
        }
        verdict
    }
}

impl RuleState {
    /// Counts a matching request, and returns whether the rule applies to it.
    fn applies(&mut self, now: Instant) -> bool {
        let Rule {
            skip,
            times,
            over_per_second,
            ..
        } = self.rule;
        self.matched += 1;
        let end = times.map(|times| skip + times);
        if self.matched <= skip || end.is_some_and(|end| self.matched > end) {
            return false;
        }
        let Some(limit) = over_per_second else {
            return true;
        };
        let is_over = |second: &Second| now.duration_since(second.begin) >= Duration::from_secs(1);
        let mut second = self.second.filter(|second| !is_over(second));
        let second = second.get_or_insert(Second {
            begin: now,
            requests: 0,
        });
        second.requests += 1;
        self.second = Some(*second);
        second.requests > limit
    }
}

impl Rule {
    fn matches(&self, subject: Subject<'_>) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| match wanted {
            Some(wanted) => found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)),
            None => true,
        };
        self.service
            .is_none_or(|service| service == subject.service)
            && same(&self.tenant, subject.tenant)
            && same(&self.client_id, subject.client_id)
            && self
                .scope
                .as_deref()
                .is_none_or(|scope| subject.scope == Some(scope))
            && self
                .path
                .as_deref()
                .is_none_or(|path| subject.path.starts_with(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(client_id: &str) -> Subject<'_> {
        Subject {
            service: Service::Entra,
            path: "/t/oauth2/v2.0/token",
            tenant: Some("t"),
            client_id: Some(client_id),
            scope: Some("https://vault.azure.net/.default"),
        }
    }

    #[test]
    fn a_rule_applies_to_requests_over_a_rate() {
        let mut rules = Rules::default();
        rules.add(Rule {
            aadsts: Some(90055),
            over_per_second: Some(2),
            ..Rule::default()
        });
        let start = Instant::now();
        let mut is_refused = |millis| {
            let now = start + Duration::from_millis(millis);
            rules.judge(subject("a"), now).answer.is_some()
        };
        let refused = [0, 100, 200, 999, 1_000, 1_001, 1_002].map(&mut is_refused);
        assert_eq!(refused, [false, false, true, true, false, false, true]);
    }

    #[test]
    fn a_rule_applies_after_skip_and_then_times() {
        let mut rules = Rules::default();
        rules.add(Rule {
            aadsts: Some(700213),
            skip: 1,
            times: Some(2),
            ..Rule::default()
        });
        let turns: Vec<bool> = (0..5)
            .map(|_| rules.judge(subject("a"), Instant::now()).answer.is_some())
            .collect();
        assert_eq!(turns, [false, true, true, false, false]);
        assert_eq!(rules.all()[0].matched, 5);
    }

    #[test]
    fn a_rule_applies_to_the_selected_requests() {
        let mut rules = Rules::default();
        rules.add(Rule {
            client_id: Some("A".to_owned()),
            service: Some(Service::Entra),
            path: Some("/t/".to_owned()),
            delay_ms: 5,
            ..Rule::default()
        });
        assert_eq!(rules.judge(subject("a"), Instant::now()).delay_ms, 5);
        assert_eq!(rules.judge(subject("b"), Instant::now()).delay_ms, 0);
        let imds = Subject {
            service: Service::Imds,
            ..subject("a")
        };
        assert_eq!(rules.judge(imds, Instant::now()).delay_ms, 0);
    }

    #[test]
    fn delays_add_up_and_the_first_answer_wins() {
        let mut rules = Rules::default();
        for (delay_ms, aadsts) in [(5, None), (7, Some(90033)), (0, Some(50196))] {
            rules.add(Rule {
                delay_ms,
                aadsts,
                ..Rule::default()
            });
        }
        let verdict = rules.judge(subject("a"), Instant::now());
        assert_eq!(verdict.delay_ms, 12);
        assert_eq!(verdict.answer, Some(Answer::Aadsts(90033)));
        assert!(rules.remove(2));
        assert!(!rules.remove(2));
        assert_eq!(
            rules.judge(subject("a"), Instant::now()).answer,
            Some(Answer::Aadsts(50196))
        );
    }
}
