//! What the log of a proxy says of its tokens.

use std::collections::BTreeMap;

use contract::container;
use kube::Client;

use crate::facts::Gap;
use crate::facts::object::Object;
use crate::facts::read::reader::Reader;
use crate::migrate::plan::Plan;

/// What a proxy's log says last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// It got a token.
    Token,
    /// Entra refused one: Entra's code.
    Refused(String),
    /// Neither.
    Silent,
}

impl Log {
    /// Reads the last lines of a log.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut lines = text.lines().rev();
        let last = lines.find_map(|line| {
            if line.contains(SUCCESS) {
                Some(Self::Token)
            } else if line.contains(FAILURE) {
                Some(Self::Refused(code(line)))
            } else {
                None
            }
        });
        last.unwrap_or(Self::Silent)
    }
}

/// Entra's code, in a line of either format.
fn code(line: &str) -> String {
    let value = ["\"code\":", "code="].into_iter().find_map(|key| {
        let (_, rest) = line.split_once(key)?;
        let rest = rest.trim_start_matches("Some(");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then(|| format!("AADSTS{digits}"))
    });
    value.unwrap_or_else(|| "no answer".to_owned())
}

/// Reads the log of one proxy of every workload that has moved.
pub async fn read(client: Client, plan: &Plan) -> (BTreeMap<Object, Log>, Vec<Gap>) {
    let mut reader = Reader::new(client);
    let mut logs = BTreeMap::new();
    for it in plan.moves.iter().filter(|it| it.is_moved()) {
        let mut ready = it
            .pods
            .iter()
            .filter(|it| it.is_ready && it.template.has_proxy);
        let Some(pod) = ready.next() else { continue };
        let Object {
            namespace, name, ..
        } = &pod.object;
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{name}/log?container={}&tailLines={LINES}",
            container::PROXY
        );
        if let Some(text) = reader.document(&path).await {
            logs.insert(pod.object.clone(), Log::read(&text));
        } else if let Some(gap) = reader.gaps.last_mut() {
            "pods/log".clone_into(&mut gap.resource);
            gap.namespace = Some(namespace.clone());
        }
    }
    let mut gaps = reader.gaps;
    gaps.dedup_by(|one, other| one.namespace == other.namespace && one.is_forbidden);
    (logs, gaps)
}

/// The proxy's messages.
const SUCCESS: &str = "successfully acquired token";
const FAILURE: &str = "no token from the authority";
/// Lines of a log. Tokens are logged when they are new alone.
const LINES: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_about_tokens_counts() {
        let refused = "WARN no token from the authority client_id=1 status=401 error=\"invalid_client\" code=700213 trace_id=x";
        let json = r#"{"message":"no token from the authority","status":401,"code":700016}"#;
        let success = "INFO successfully acquired token client_id=1";
        for (log, expected) in [
            ("starting\n", Log::Silent),
            (&format!("{refused}\n{success}\nreceived"), Log::Token),
            (
                &format!("{success}\n{refused}\n"),
                Log::Refused("AADSTS700213".to_owned()),
            ),
            (json, Log::Refused("AADSTS700016".to_owned())),
            (
                "no token from the authority",
                Log::Refused("no answer".to_owned()),
            ),
        ] {
            assert_eq!(Log::read(log), expected, "{log}");
        }
    }
}
