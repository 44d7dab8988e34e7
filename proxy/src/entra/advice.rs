//! How to fix an error of Entra, in one sentence (law 7).

use super::assertion::Presented;

/// The request that failed.
#[derive(Debug)]
pub struct Context<'a> {
    /// The client id that was sent.
    pub client_id: &'a str,
    /// The tenant in the request's path.
    pub tenant_id: &'a str,
    /// The resource that a token was requested for.
    pub resource: &'a str,
    /// The claims of the assertion.
    pub presented: &'a Presented,
}

/// Entra's text, what was presented, and the likely fix, where one is known.
#[must_use]
pub fn explain(text: &str, code: Option<u32>, context: &Context<'_>) -> String {
    let Presented {
        issuer, subject, ..
    } = context.presented;
    let audience = context.presented.audience();
    let mut text = text.trim_end().to_owned();
    text.push_str(&format!(
        "\r\nPresented: issuer '{issuer}', subject '{subject}', audience '{audience}'."
    ));
    if let Some(advice) = code.and_then(|code| advice(code, context)) {
        text.push_str("\r\nTo fix: ");
        text.push_str(&advice);
    }
    text
}

fn advice(code: u32, context: &Context<'_>) -> Option<String> {
    let Context {
        client_id,
        tenant_id,
        resource,
        presented,
    } = context;
    let Presented {
        issuer, subject, ..
    } = presented;
    let audience = presented.audience();
    Some(match code {
        70021 | 700211 | 700212 | 700213 => format!(
            "create the federated identity credential that matches this token exactly: az identity \
             federated-credential create --name kubernetes --identity-name IDENTITY \
             --resource-group GROUP --issuer '{issuer}' --subject '{subject}' --audiences \
             '{audience}' (for an application: az ad app federated-credential create --id \
             {client_id} --parameters '{{\"name\":\"kubernetes\",\"issuer\":\"{issuer}\",\
             \"subject\":\"{subject}\",\"audiences\":[\"{audience}\"]}}'), and wait some minutes \
             when it is new."
        ),
        700016 => format!(
            "correct the annotations azure.workload.identity/client-id ({client_id}) and \
             azure.workload.identity/tenant-id ({tenant_id}) of the service account: this tenant \
             has no such application."
        ),
        90002 | 900023 => format!(
            "correct the tenant ({tenant_id}): AZURE_TENANT_ID of the webhook or the annotation \
             azure.workload.identity/tenant-id of the service account."
        ),
        500011 | 50001 => format!(
            "correct the resource that the application asks for ('{resource}'), or give this \
             tenant a service principal of it."
        ),
        70011 | 1002012 | 28000 | 700022 | 700023 => format!(
            "let the application ask for one resource by its application id URI; it asks for \
             '{resource}'."
        ),
        700024 => "compare the node's clock with the real time, and check whether kubelet renews \
                   the token file."
            .to_owned(),
        50027 => "check the file that AZURE_FEDERATED_TOKEN_FILE names: kubelet writes \
                  whole tokens, and replaces them."
            .to_owned(),
        700027 | 50013 | 900384 | 5002723 => format!(
            "publish the key that signs the cluster's service account tokens at \
             {issuer}: see whether its JWKS document is up to date."
        ),
        90061 => format!(
            "make {}/.well-known/openid-configuration and the JWKS document that it names \
             readable from the internet.",
            issuer.trim_end_matches('/')
        ),
        7000112 => format!("enable the application {client_id} in tenant {tenant_id}."),
        53003 => format!(
            "exclude the identity {client_id} from the Conditional Access policy for workload \
             identities, or meet it."
        ),
        90038 => "set the webhook's azureEnvironment (AZURE_AUTHORITY_HOST) to the tenant's \
                  national cloud."
            .to_owned(),
        7000215 | 7000218 | 7002121 | 700222 | 700226 | 700227 | 700229 | 7002381 => format!(
            "use a projected service account token of the cluster with the audience that the \
             federated credential has; presented was '{audience}'."
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: u32) -> String {
        let presented: Presented = serde_json::from_str(
            r#"{"iss":"https://issuer/","sub":"system:serviceaccount:shop:cart","aud":["api://X"]}"#,
        )
        .unwrap();
        let context = Context {
            client_id: "91be",
            tenant_id: "contoso",
            resource: "https://vault.azure.net",
            presented: &presented,
        };
        explain("AADSTS: text\r\n", Some(code), &context)
    }

    #[test]
    fn a_missing_credential_comes_with_the_command_that_creates_it() {
        for code in [70021, 700211, 700212, 700213] {
            let text = explained(code);
            assert!(
                text.starts_with("AADSTS: text\r\nPresented: issuer 'https://issuer/'"),
                "{text}"
            );
            assert!(text.contains("subject 'system:serviceaccount:shop:cart', audience 'api://X'"));
            assert!(text.contains(
                "--issuer 'https://issuer/' --subject 'system:serviceaccount:shop:cart' \
                 --audiences 'api://X'"
            ));
            assert!(text.contains(
                r#"{"name":"kubernetes","issuer":"https://issuer/","subject":"system:serviceaccount:shop:cart","audiences":["api://X"]}"#
            ));
        }
    }

    #[test]
    fn advice_names_what_to_change() {
        for (code, part) in [
            (700016, "client-id (91be)"),
            (90002, "tenant (contoso)"),
            (500011, "'https://vault.azure.net'"),
            (700024, "clock"),
            (50027, "AZURE_FEDERATED_TOKEN_FILE"),
            (700027, "JWKS document"),
            (90061, "https://issuer/.well-known/openid-configuration"),
            (90038, "azureEnvironment"),
        ] {
            assert!(
                explained(code).contains(part),
                "{code}: {}",
                explained(code)
            );
        }
    }

    #[test]
    fn an_unknown_code_still_shows_what_was_presented() {
        let text = explained(1);
        assert!(
            text.contains("Presented:") && !text.contains("To fix:"),
            "{text}"
        );
    }
}
