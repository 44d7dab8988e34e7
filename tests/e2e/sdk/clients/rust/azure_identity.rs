//! azure_identity: ManagedIdentityCredential.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufRead};
use std::sync::Arc;

use azure_core::credentials::{AccessToken, TokenCredential};
use azure_core::error::ErrorKind;
use azure_identity::{
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use serde_json::json;

type Credentials = HashMap<String, Arc<ManagedIdentityCredential>>;

/// Each line of standard input, `managed RESOURCE [CLIENT_ID]`, gets a line of JSON.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut credentials = Credentials::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut fields = line.split(' ').skip(1);
        let resource = fields.next().unwrap_or_default();
        let client_id = fields.next().unwrap_or_default();
        let answer = match token(&mut credentials, resource, client_id).await {
            Ok(found) => json!({
                "token": found.token.secret(),
                "expires_on": found.expires_on.unix_timestamp(),
            }),
            Err(error) => json!({
                "error": whole(error.as_ref()),
                "response": response(error.as_ref()),
            }),
        };
        println!("{answer}");
    }
    Ok(())
}

async fn token(
    credentials: &mut Credentials,
    resource: &str,
    client_id: &str,
) -> Result<AccessToken, Box<dyn Error>> {
    if !credentials.contains_key(client_id) {
        let id = UserAssignedId::ClientId(client_id.to_owned());
        let options = ManagedIdentityCredentialOptions {
            user_assigned_id: (!client_id.is_empty()).then_some(id),
            ..Default::default()
        };
        let made = ManagedIdentityCredential::new(Some(options))?;
        credentials.insert(client_id.to_owned(), made);
    }
    let scope = format!("{resource}/.default");
    Ok(credentials[client_id].get_token(&[&scope], None).await?)
}

/// The answer that an error holds, for a program that looks into it.
fn response(error: &(dyn Error + 'static)) -> Option<String> {
    let found = error.downcast_ref::<azure_core::Error>().map(azure_core::Error::kind);
    if let Some(ErrorKind::HttpResponse { raw_response: Some(answer), .. }) = found {
        return Some(String::from_utf8_lossy(answer.body()).into_owned());
    }
    response(error.source()?)
}

/// An error with its causes.
fn whole(error: &dyn Error) -> String {
    let text = error.to_string();
    error.source().map_or_else(|| text.clone(), |cause| format!("{text}: {}", whole(cause)))
}
