//! Names of upstream's `azwi`: they work, or say what to use and fail.

use crate::process::{azwi_alone as azwi, text};

#[test]
fn serviceaccount_prints_commands_and_fails() {
    let args = [
        "serviceaccount",
        "create",
        "--service-account-name",
        "shop",
        "--service-account-namespace",
        "prod",
        "--service-account-issuer-url",
        "https://issuer.example.com/",
        "--skip-phases",
        "role-assignment",
        "--subscription-id",
        "s",
        "--auth-method",
        "client_secret",
        "--client-secret",
        "hidden",
    ];
    let output = azwi(&args);
    assert_eq!(output.status.code(), Some(64));
    let text = text(&output);
    assert!(
        text.contains("az ad app federated-credential create --id=\"$client_id\""),
        "{text}"
    );
    assert!(
        text.contains("kubectl annotate serviceaccount shop --namespace=prod"),
        "{text}"
    );
    assert!(!text.contains("hidden"), "{text}");
}

#[test]
fn phases_and_aliases_are_known() {
    for args in [
        [
            "sa",
            "create",
            "phase",
            "sa",
            "--service-account-name",
            "shop",
            "--aad-application-name",
            "shop",
        ],
        [
            "sa",
            "create",
            "--service-account-name",
            "shop",
            "phase",
            "fi",
            "--service-account-issuer-url",
            "https://i.example",
        ],
        [
            "serviceaccount",
            "delete",
            "phase",
            "role-assignment",
            "--role-assignment-id",
            "r",
            "--azure-env",
            "AzurePublicCloud",
        ],
    ] {
        let output = azwi(&args);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(
            text(&output).contains("does not write to Azure here"),
            "{}",
            text(&output)
        );
    }
    let output = azwi(&["sa", "create", "phase", "sa"]);
    assert!(
        text(&output).contains("--service-account-name is required"),
        "{}",
        text(&output)
    );
}

#[test]
fn podidentity_names_migrate() {
    let args = [
        "podidentity",
        "detect",
        "--namespace",
        "prod",
        "-o",
        "out",
        "-p",
        "8001",
    ];
    let output = azwi(&args);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        text(&output).contains("azwi migrate plan --namespace=prod"),
        "{}",
        text(&output)
    );
}

#[test]
fn version_has_both_forms() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(text(&azwi(&["version"])), format!("azwi {version}\n"));
    let json = text(&azwi(&["version", "-o", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], version);
}
