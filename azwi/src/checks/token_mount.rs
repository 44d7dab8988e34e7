//! A token file that the kubelet never renews, as far as the template shows it.

use super::code::Code;
use super::finding::Finding;
use super::fix;
use super::subject::Subject;

/// A container mounts the token with `subPath`.
pub(super) fn check(subject: &Subject<'_>) -> Option<Finding> {
    let container = subject.template.fixed_token.as_ref()?;
    let cause = format!(
        "container {container} mounts the token with subPath: the kubelet never renews such a file, and Entra refuses the token \
         once it has expired (AADSTS700024)"
    );
    let fix = fix::edit(&subject.object);
    Some(Finding::new(
        Code::FixedToken,
        &subject.object,
        &cause,
        Some(fix),
    ))
}
