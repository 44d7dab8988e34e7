//! Exchanges the token of one workload for a token of Entra, reads its claims and drops both.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::value::{Authority, CaData, Tenant, is_guid};
use proxy::entra::{
    Assertion, Class, Client, Config, Context, Rejection, Roots, Settings, explain,
};
use proxy::token::Key;
use serde::Deserialize;
use tokio::time::sleep;

use super::installation;
use super::outside::{self, OutsideError, egress};
use super::reader::Reader;
use crate::facts::Facts;
use crate::facts::exchange::{Exchange, Granted, Rejected};

/// What the settings of the webhook do not decide.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The authority, `None` for the webhook's.
    pub authority: Option<Authority>,
    /// The resource that a token is requested for, `None` for Azure Resource Manager.
    pub resource: Option<String>,
}

/// Exchanges the token, `None` and a gap when that cannot be tried.
pub(super) async fn read(
    reader: &mut Reader,
    facts: &Facts,
    assertion: &Assertion,
    wanted: &Wanted,
) -> Option<Exchange> {
    let ca = proxy_ca(reader, facts).await;
    match exchange(facts, ca.as_ref(), assertion, wanted).await {
        Ok(exchange) => Some(exchange),
        Err(reason) => {
            reader.miss_elsewhere("exchange", "the workload's token".to_owned(), reason);
            None
        }
    }
}

async fn exchange(
    facts: &Facts,
    ca: Option<&CaData>,
    assertion: &Assertion,
    wanted: &Wanted,
) -> Result<Exchange, String> {
    let client_id = client_id(facts).ok_or("no client id of the workload is known")?;
    let authority = authority(facts, wanted)?;
    let tenant = tenant(facts)?;
    let settings =
        Settings::new(&authority, &tenant, "".into()).map_err(|error| error.to_string())?;
    let config = Config {
        binding: None,
        egress: egress().map_err(|error| error.to_string())?,
        roots: roots(ca).map_err(|error| error.to_string())?,
        settings,
    };
    let client = Client::without_metrics(config).map_err(|error| error.to_string())?;
    let resource = wanted.resource.as_deref();
    let key = Key {
        client_id: client_id.into(),
        resource: resource.unwrap_or_else(|| manager(&authority)).into(),
        claims: None,
    };
    let mut exchange = Exchange {
        client_id: client_id.to_owned(),
        tenant: tenant.to_string(),
        authority: authority.to_string(),
        attempts: Vec::new(),
    };
    let presented = assertion.presented();
    let context = Context {
        client_id,
        tenant_id: &exchange.tenant,
        resource: &key.resource,
        presented: &presented,
    };
    for nth in 0..ATTEMPTS {
        if nth > 0 {
            sleep(PAUSE).await;
        }
        let attempt = match client.attempt(&key, assertion).await {
            Ok(granted) => Ok(claims(granted.access_token.reveal())),
            Err(rejection) => Err(rejected(&rejection, &context)),
        };
        let is_first = exchange.attempts.is_empty();
        let is_missed = matches!(&attempt, Err(it) if it.class == Class::Propagation);
        exchange.attempts.push(attempt);
        // Entra misses a credential at times, and a new one for a while: only several answers show which.
        if is_first && !is_missed {
            break;
        }
    }
    Ok(exchange)
}

/// The certificates of the chart's `proxy.caBundle`.
async fn proxy_ca(reader: &mut Reader, facts: &Facts) -> Option<CaData> {
    let (object, key) = facts.installation.as_ref()?.proxy_ca.as_ref()?;
    let text = installation::proxy_ca(reader, object, key).await?;
    // The webhook refuses to start with others.
    text.parse().ok()
}

/// The authorities that the proxies trust with Entra, behind an egress proxy that inspects TLS too.
fn roots(ca: Option<&CaData>) -> Result<Roots, OutsideError> {
    let mut roots = outside::roots()?;
    if let Some(ca) = ca {
        roots.add(ca);
    }
    Ok(roots)
}

/// The client id of the first container that names one, or that of the service account.
fn client_id(facts: &Facts) -> Option<&str> {
    let target = facts.target.as_ref()?;
    let template = facts.workloads.first().map(|it| &it.template);
    let template = template.or_else(|| facts.pods.first().map(|it| &it.template))?;
    let key = (target.namespace.clone(), template.service_account.clone());
    let account = facts.accounts.as_ref()?.get(&key)?;
    let own = template.client_ids.first().map(String::as_str);
    let of_account = Some(account.client_id()).filter(|it| !it.is_empty());
    let is_alone = facts.workloads.is_empty();
    // The variables of a pod without a template are the webhook's.
    let id = if is_alone {
        of_account.or(own)
    } else {
        own.or(of_account)
    };
    id.filter(|it| is_guid(it))
}

fn authority(facts: &Facts, wanted: &Wanted) -> Result<Authority, String> {
    if let Some(authority) = &wanted.authority {
        return Ok(authority.clone());
    }
    let installation = facts.installation.as_ref();
    let settings = installation.and_then(|it| it.settings.as_ref());
    let settings = settings.ok_or("the webhook's settings are not known: give --authority")?;
    settings
        .authority_host
        .parse()
        .map_err(|error: contract::value::AuthorityError| error.to_string())
}

fn tenant(facts: &Facts) -> Result<Tenant, String> {
    let target = facts.target.as_ref().ok_or("there is no workload")?;
    let template = facts.workloads.first().map(|it| &it.template);
    let template = template.or_else(|| facts.pods.first().map(|it| &it.template));
    let account = template.and_then(|it| {
        let key = (target.namespace.clone(), it.service_account.clone());
        facts.accounts.as_ref()?.get(&key)
    });
    let own = account.map_or("", |it| &*it.view.tenant_id);
    let installation = facts.installation.as_ref();
    let settings = installation.and_then(|it| it.settings.as_ref());
    let tenant = match (own, settings) {
        ("", Some(settings)) => &settings.tenant_id,
        ("", None) => return Err("the webhook's tenant is not known".to_owned()),
        (own, _) => own,
    };
    if tenant == installation::UNKNOWN_TENANT {
        return Err(
            "the webhook's tenant is not known: its ConfigMap could not be read".to_owned(),
        );
    }
    tenant
        .parse()
        .map_err(|error: contract::value::TenantError| error.to_string())
}

/// Azure Resource Manager of the authority's cloud.
fn manager(authority: &Authority) -> &'static str {
    let authority = authority.to_string();
    if authority.contains(".microsoftonline.us") {
        "https://management.usgovcloudapi.net"
    } else if authority.contains(".chinacloudapi.cn") || authority.contains(".microsoftonline.cn") {
        "https://management.chinacloudapi.cn"
    } else {
        "https://management.azure.com"
    }
}

fn rejected(rejection: &Rejection, context: &Context<'_>) -> Rejected {
    Rejected {
        status: rejection.status,
        code: rejection.code,
        class: rejection.class,
        description: rejection.description.clone(),
        explained: explain(&rejection.description, rejection.code, context),
    }
}

fn claims(token: &str) -> Granted {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: Claims = serde_json::from_slice(&payload).unwrap_or_default();
    Granted {
        object_id: claims.oid,
        client_id: claims.appid.or(claims.azp).unwrap_or_default(),
        tenant: claims.tid,
        audience: claims.aud,
        roles: claims.roles,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims {
    aud: String,
    oid: String,
    tid: String,
    appid: Option<String>,
    azp: Option<String>,
    roles: Vec<String>,
}

/// Five over 20 s.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_secs(5);
