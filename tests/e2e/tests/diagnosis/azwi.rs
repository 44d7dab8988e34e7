//! The program as a user runs it, and the commands that it prints.

use e2e::program::{run, shell, text};
use e2e::until;
use serde_json::Value;

/// What `azwi check` wrote.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) code: Option<i32>,
    pub(crate) findings: Vec<Found>,
    pub(crate) not_checked: Vec<Value>,
}

/// A finding that is not information.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) code: String,
    pub(crate) cause: String,
    pub(crate) object: String,
    pub(crate) fix: Option<String>,
}

/// What is expected of a fault.
pub(crate) struct Fault<'a> {
    /// The arguments of `azwi check`, as in a shell.
    pub(crate) check: &'a str,
    /// The code of the first finding.
    pub(crate) code: &'a str,
    /// The object of the first finding, as `Kind namespace/name`.
    pub(crate) object: &'a str,
    /// The placeholders of the command and what the user fills in.
    pub(crate) placeholders: &'a [(&'a str, &'a str)],
}

impl Fault<'_> {
    /// Asserts that the cause is named first, and that the next check is clean once the printed command has run.
    pub(crate) async fn is_named_and_fixed(&self) {
        let fix = self.is_named().await;
        run(&filled(&fix, self.placeholders)).await;
        let args = self.check;
        until(
            &format!("a clean check {args} after {fix}"),
            async || check(args).await,
            |it| it.code == Some(0),
        )
        .await;
    }

    /// Asserts that the cause is named first, and returns the command.
    pub(crate) async fn is_named(&self) -> String {
        let checked = until(
            &format!("{} at {}", self.code, self.object),
            async || check(self.check).await,
            |it| {
                let first = it.findings.first();
                first.is_some_and(|it| it.code == self.code && it.object == self.object)
            },
        )
        .await;
        assert_eq!(checked.code, Some(1), "{checked:?}");
        let first = &checked.findings[0];
        first.fix.clone().unwrap_or_default()
    }
}

/// Asserts that `azwi check` names a cause first, and is clean once the printed command has run as it is. The arguments are
/// those of [`Fault`].
pub(crate) async fn is_named_and_fixed(check: &str, code: &str, object: &str) {
    let fault = Fault {
        check,
        code,
        object,
        placeholders: &[],
    };
    fault.is_named_and_fixed().await;
}

/// The command with its placeholders filled in.
pub(crate) fn filled(fix: &str, placeholders: &[(&str, &str)]) -> String {
    let mut fix = fix.to_owned();
    for (placeholder, value) in placeholders {
        assert!(fix.contains(placeholder), "{fix}");
        fix = fix.replace(placeholder, value);
    }
    assert!(!fix.contains('<'), "a placeholder is left: {fix}");
    fix
}

/// Runs `azwi check` with these arguments.
pub(crate) async fn check(args: &str) -> Checked {
    let output = shell(&format!("azwi check {args} --output json")).await;
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    let findings = report["findings"].as_array().expect("findings").iter();
    let findings = findings.filter(|it| it["severity"] != "information");
    Checked {
        code: output.status.code(),
        findings: findings.map(Found::new).collect(),
        not_checked: report["notChecked"].as_array().expect("gaps").clone(),
    }
}

/// The text for people, information included.
pub(crate) async fn explained(args: &str) -> String {
    text(&shell(&format!("azwi check {args} --information")).await)
}

impl Found {
    fn new(finding: &Value) -> Self {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let object = &finding["object"];
        let (kind, namespace, name) = (
            text(&object["kind"]),
            text(&object["namespace"]),
            text(&object["name"]),
        );
        let place = if namespace.is_empty() {
            String::new()
        } else {
            format!("{namespace}/")
        };
        Self {
            code: text(&finding["code"]),
            cause: text(&finding["cause"]),
            object: format!("{kind} {place}{name}"),
            fix: finding["fix"].as_str().map(str::to_owned),
        }
    }
}
