//! What a service account says about the identity of its pods.

use std::collections::BTreeMap;

use contract::{annotation as key, label};

/// The product's annotations of a service account, and nothing else of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// `azure.workload.identity/client-id` without surrounding space and as it stands in a variable,
    /// empty when absent.
    pub client_id: Box<str>,
    /// `azure.workload.identity/tenant-id`, likewise.
    pub tenant_id: Box<str>,
    /// `azure.workload.identity/service-account-token-expiration` as written.
    pub token_expiration: Option<Box<str>>,
    /// Whether the label `azure.workload.identity/use` is `"true"`.
    pub labelled: bool,
    /// Annotations with the product's prefix that it does not know.
    pub unknown: Box<[Box<str>]>,
}

impl Account {
    /// Reads an account's metadata. `None` when nothing there is for us.
    pub fn read(
        annotations: &BTreeMap<String, String>,
        labels: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let mut account = Self {
            labelled: labels.get(label::USE).is_some_and(|it| it == "true"),
            ..Self::default()
        };
        let mut unknown = Vec::new();
        for (name, value) in annotations {
            match name.as_str() {
                key::CLIENT_ID => account.client_id = literal(value),
                key::TENANT_ID => account.tenant_id = literal(value),
                key::SERVICE_ACCOUNT_TOKEN_EXPIRATION => {
                    account.token_expiration = Some(value.as_str().into());
                }
                name if name.starts_with(key::PREFIX) => unknown.push(name.into()),
                _ => {}
            }
        }
        account.unknown = unknown.into();
        (account != Self::default()).then_some(account)
    }
}

/// The value as it stands in a variable: Kubernetes puts other variables of the container in place of
/// `$(NAME)`, secrets among them, and takes `$$` for `$`.
fn literal(value: &str) -> Box<str> {
    value.trim().replace('$', "$$").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn only_our_annotations_are_kept() {
        let annotations = map(&[
            (
                "azure.workload.identity/client-id",
                " 1b4db7eb-4057-5ddf-91e0-36dec72071f5\n",
            ),
            ("azure.workload.identity/tenant-id", "contoso.com"),
            ("azure.workload.identity/client_id", "x"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ]);
        let account = Account::read(&annotations, &map(&[])).unwrap();
        assert_eq!(&*account.client_id, "1b4db7eb-4057-5ddf-91e0-36dec72071f5");
        assert_eq!(&*account.tenant_id, "contoso.com");
        assert_eq!(account.token_expiration, None);
        assert_eq!(
            *account.unknown,
            ["azure.workload.identity/client_id".into()]
        );
    }

    #[test]
    fn no_other_variable_is_read_by_a_value() {
        let read = |value| {
            let annotations = map(&[("azure.workload.identity/client-id", value)]);
            Account::read(&annotations, &map(&[])).unwrap().client_id
        };
        assert_eq!(&*read("$(PASSWORD)"), "$$(PASSWORD)");
        assert_eq!(&*read("$$$(PASSWORD)"), "$$$$$$(PASSWORD)");
    }

    #[test]
    fn an_account_without_them_is_none() {
        assert_eq!(Account::read(&map(&[]), &map(&[])), None);
        assert_eq!(
            Account::read(&map(&[("a", "b")]), &map(&[("a", "b")])),
            None
        );
    }
}
