//! The exchange of one workload's token, and what Entra's answer says about the workload.

use contract::value::is_guid;
use proxy::entra::Class;

use super::code::Code;
use super::credential::{self, Wanted};
use super::finding::Finding;
use super::fix;
use crate::command::Command;
use crate::facts::Facts;
use crate::facts::exchange::{Exchange, Granted, Rejected};
use crate::facts::object::Object;
use crate::facts::token::Token;

/// What Entra's answer says.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let (exchange, token, target) = (
        facts.exchange.as_ref()?,
        facts.token.as_ref()?,
        facts.target.as_ref()?,
    );
    let (granted, rejected) = (exchange.granted(), exchange.rejected());
    Some(match (granted, rejected) {
        (Some(_), Some(rejected)) => propagating(exchange, rejected, target),
        (Some(granted), None) => success(granted, target),
        (None, rejected) => failure(facts, exchange, token, target, rejected?),
    })
}

fn propagating(exchange: &Exchange, rejected: &Rejected, target: &Object) -> Finding {
    let refused = exchange.attempts.iter().filter(|it| it.is_err()).count();
    let cause = format!(
        "{refused} of {} exchanges were refused with AADSTS{}, and the others succeeded: the federated credential is new \
         and still propagates, or Entra misses it at times",
        exchange.attempts.len(),
        rejected.code.unwrap_or_default()
    );
    let check = target.named_in(Command::new("azwi check"));
    let fix = check.text("--exchange");
    Finding::new(Code::Propagating, target, &cause, Some(fix))
}

fn success(granted: &Granted, target: &Object) -> Finding {
    let Granted {
        object_id,
        client_id,
        tenant,
        audience,
        roles,
    } = granted;
    let roles = if roles.is_empty() {
        String::new()
    } else {
        format!(", roles {}", roles.join(", "))
    };
    let cause = format!(
        "the workload gets tokens: oid {object_id}, appid {client_id}, tid {tenant}, aud {audience}{roles}. If a service \
         still answers 403, the identity lacks a role assignment; if the application gets no token, its SDK asks another way \
         (docs/which-apps.md)"
    );
    let list = || {
        Command::new("az role assignment list --all --assignee")
            .arg(object_id)
            .text("--output table")
    };
    let fix = is_guid(object_id).then(list);
    Finding::new(Code::Exchanged, target, &cause, fix)
}

fn failure(
    facts: &Facts,
    exchange: &Exchange,
    token: &Token,
    target: &Object,
    rejected: &Rejected,
) -> Finding {
    let account = token.subject.rsplit(':').next().unwrap_or_default();
    let account = Object::new("ServiceAccount", &target.namespace, account);
    let issuer = Object::new("Issuer", "", &token.issuer);
    let Exchange {
        client_id,
        tenant,
        authority,
        ..
    } = exchange;
    match rejected.code {
        Some(700_016) => no_application(facts, exchange, &account),
        Some(90_002 | 900_023) => {
            let cause = format!("Entra at {authority} has no tenant {tenant}");
            Finding::new(
                Code::NoTenant,
                &account,
                &cause,
                Some(fix::set_tenant(&account)),
            )
        }
        Some(90_061 | 900_612) => {
            let cause = format!(
                "Entra cannot read the issuer's documents (AADSTS{})",
                rejected.code.unwrap_or_default()
            );
            Finding::new(
                Code::NotPublic,
                &issuer,
                &cause,
                Some(fix::read_discovery(&token.issuer)),
            )
        }
        Some(700_027 | 50_013 | 900_384 | 5_002_723 | 5_002_738) => {
            let cause = format!(
                "Entra does not find the key {} in the issuer's key set (AADSTS{}): publish the API server's again",
                token.key_id,
                rejected.code.unwrap_or_default()
            );
            Finding::new(
                Code::OldKeys,
                &issuer,
                &cause,
                Some(Command::new(fix::READ_KEYS)),
            )
        }
        Some(7_002_138) => not_accepted(facts, exchange, token, &account, rejected),
        _ if rejected.class == Class::Propagation => {
            not_accepted(facts, exchange, token, &account, rejected)
        }
        None if rejected.status == 0 => {
            let object = Object::new("Authority", "", authority);
            let cause = format!(
                "Entra cannot be reached from here: {}. Pods need the same way (docs/egress.md)",
                rejected.description
            );
            let url = format!("{authority}{tenant}/v2.0/.well-known/openid-configuration");
            let fix = Command::new("curl --verbose --max-time 10 --output /dev/null")
                .in_single_quotes(&url);
            Finding::new(Code::NoEntra, &object, &cause, Some(fix))
        }
        _ => {
            let lines: Vec<&str> = rejected.explained.lines().collect();
            let cause = format!(
                "Entra refuses the workload's token for identity {client_id}: {}",
                lines.join(" ")
            );
            Finding::new(Code::OtherRefusal, target, &cause, None)
        }
    }
}

fn no_application(facts: &Facts, exchange: &Exchange, account: &Object) -> Finding {
    let azure = facts.azure.as_ref();
    let principal = azure.and_then(|it| it.principal(&exchange.client_id));
    if let Some(identity) = principal {
        return credential::wrong_id(
            &exchange.client_id,
            &identity.name,
            &identity.client_id,
            account,
        );
    }
    let cause = format!(
        "tenant {} has no identity with client id {} (AADSTS700016): it may be an object id, or of another tenant",
        exchange.tenant, exchange.client_id
    );
    Finding::new(
        Code::NoApplication,
        account,
        &cause,
        Some(fix::annotate(account, None)),
    )
}

fn not_accepted(
    facts: &Facts,
    exchange: &Exchange,
    token: &Token,
    account: &Object,
    rejected: &Rejected,
) -> Finding {
    let wanted = Wanted {
        issuer: &token.issuer,
        subject: token.subject.clone(),
        audience: token.audience(),
    };
    let cause = format!(
        "Entra has no federated credential of identity {} for the workload's token (AADSTS{}, {} times): presented were \
         issuer {}, subject {} and audience {}",
        exchange.client_id,
        rejected.code.unwrap_or_default(),
        exchange.attempts.len(),
        wanted.issuer,
        wanted.subject,
        wanted.audience
    );
    let identity = facts
        .azure
        .as_ref()
        .and_then(|it| it.identity(&exchange.client_id));
    let fix = credential::create(identity, &exchange.client_id, &wanted);
    Finding::new(Code::NotAccepted, account, &cause, Some(fix))
}
