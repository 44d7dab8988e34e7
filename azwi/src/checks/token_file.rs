//! The token file in a running container.

use super::code::Code;
use super::context::Context;
use super::finding::Finding;
use super::fix;
use crate::facts::object::Object;
use crate::facts::token_file::{Content, TokenFile};

/// What the containers of the target read.
pub(super) fn check(context: &Context<'_>, target: &Object) -> Vec<Finding> {
    let files = context.facts.token_files.iter();
    let mut findings: Vec<Finding> = files.map(|it| finding(context, target, it)).collect();
    findings.sort_by_key(|it| it.code.severity());
    findings
}

fn finding(context: &Context<'_>, target: &Object, file: &TokenFile) -> Finding {
    let TokenFile {
        container, path, ..
    } = file;
    let wrong = |cause: &str| {
        let cause = format!("container {container}: {path}: {cause}");
        Finding::new(Code::TokenFile, target, &cause, Some(fix::edit(target)))
    };
    let (expires, audiences) = match &file.content {
        Content::Unreadable(error) => {
            return wrong(&format!(
                "a program of the container cannot read it: {error}"
            ));
        }
        Content::Other => return wrong("it is no service account token"),
        Content::Token { expires, audiences } => (*expires, audiences),
    };
    let left = (expires - file.read_at) / 60;
    if left < 0 || expires <= file.read_at {
        return wrong(&format!(
            "its token expired {} minutes ago: nothing renews this file. The volume's own file is renewed, a copy or a mount with \
             subPath is not",
            -left
        ));
    }
    let wanted = context.audiences();
    if !audiences.iter().any(|it| wanted.contains(&it.as_str())) {
        return wrong(&format!(
            "its token is for audience {}, not {}",
            audiences.join(", "),
            wanted.join(" or ")
        ));
    }
    let cause = format!(
        "container {container}: {path} has a valid token, for {left} minutes. If the application gets AADSTS700024, it keeps an \
         old one: a later version of its SDK reads the file again, and the sidecar does in any case"
    );
    let is_without_proxy = context
        .facts
        .workloads
        .iter()
        .any(|it| it.object == *target && !it.template.wants_proxy);
    let fix = is_without_proxy.then(|| fix::add_proxy(target));
    Finding::new(Code::FreshFile, target, &cause, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;

    const NOW: i64 = 1_800_000_000;

    fn found(content: Content) -> (Code, String) {
        let target = Object::new("Deployment", "prod", "shop");
        let facts = Facts {
            token_files: vec![TokenFile {
                container: "app".to_owned(),
                pod: Object::new("Pod", "prod", "shop-1"),
                path: "/token".to_owned(),
                content,
                read_at: NOW,
            }],
            ..Facts::default()
        };
        let context = Context {
            facts: &facts,
            is_working: true,
        };
        let found = check(&context, &target).pop().unwrap();
        (found.code, found.cause)
    }

    fn token(expires: i64, audience: &str) -> Content {
        Content::Token {
            expires,
            audiences: vec![audience.to_owned()],
        }
    }

    #[test]
    fn a_file_is_named_by_what_is_wrong_with_it() {
        let audience = contract::token::DEFAULT_AUDIENCE;
        let unreadable = Content::Unreadable("cat: /token: Permission denied".to_owned());
        for (content, code, part) in [
            (
                token(NOW + 3_600, audience),
                Code::FreshFile,
                "for 60 minutes",
            ),
            (
                token(NOW - 120, audience),
                Code::TokenFile,
                "expired 2 minutes ago",
            ),
            (
                token(NOW, audience),
                Code::TokenFile,
                "expired 0 minutes ago",
            ),
            (
                token(NOW + 3_600, "api://other"),
                Code::TokenFile,
                "audience api://other",
            ),
            (Content::Other, Code::TokenFile, "no service account token"),
            (unreadable, Code::TokenFile, "Permission denied"),
        ] {
            let found = found(content);
            assert_eq!(found.0, code, "{}", found.1);
            assert!(found.1.contains(part), "{}", found.1);
        }
    }
}
