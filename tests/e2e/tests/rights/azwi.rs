//! The chart's ClusterRoles for azwi suffice for what it reads. `tests/migration` moves a workload with them.

use e2e::program::{shell, text};
use e2e::{ISSUER, Namespace, User};

/// Asserts that everything could be read.
async fn reads_everything(user: &User, arguments: &str) {
    let output = shell(&user.azwi(arguments)).await;
    let text = text(&output);
    for gap in ["not checked", "not read", "forbidden", "cannot "] {
        assert!(!text.contains(gap), "{arguments}: {text}");
    }
    // Other tests may leave findings.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{arguments}: {code:?}: {text}");
}

#[tokio::test]
async fn the_roles_for_azwi_suffice_for_what_it_reads() {
    let (namespace, _) = Namespace::with_identity("azwi-rights").await;
    let reader = User::with_role(&namespace, "azure-wi-azwi").await;
    reads_everything(&reader, "check --no-dry-run").await;
    reads_everything(
        &reader,
        "federate --credentials <(az identity list -o json)",
    )
    .await;
    for role in ["azure-wi-azwi-migrate", "azure-wi-azwi-migrate-apply"] {
        let user = User::with_role(&namespace, role).await;
        for command in ["plan", "status"] {
            reads_everything(&user, &format!("migrate {command} --issuer {ISSUER}")).await;
        }
    }
    let lacking = text(&shell(&reader.azwi("check")).await);
    assert!(lacking.contains("the right to create pods"), "{lacking}");
}
