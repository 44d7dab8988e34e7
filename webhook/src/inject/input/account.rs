//! The annotations of a service account.

use std::collections::BTreeMap;

use contract::variable::literal;
use contract::{annotation as key, label};

/// The product's annotations of a service account. Nothing else of it is kept in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// `azure.workload.identity/client-id`, trimmed and escaped as the value of a variable, empty when
    /// absent.
    pub client_id: Box<str>,
    /// `azure.workload.identity/tenant-id`, trimmed and escaped in the same way.
    pub tenant_id: Box<str>,
    /// `azure.workload.identity/service-account-token-expiration`, unchanged.
    pub token_expiration: Option<Box<str>>,
    /// Whether the label `azure.workload.identity/use` is `"true"`.
    pub labelled: bool,
    /// The key of an annotation whose value is longer than [`Self::MAX_VALUE`]. Its value is not kept.
    pub too_long: Option<&'static str>,
    /// Keys of unknown annotations with the product's prefix, [`Self::MAX_UNKNOWN`] at most.
    pub unknown: Box<[Box<str>]>,
}

impl Account {
    /// Characters of a value. A client id has 36, and a tenant is a GUID or a domain. A user who may
    /// edit service accounts could otherwise fill the webhook's memory.
    pub const MAX_VALUE: usize = 64;

    /// Unknown keys. They are kept for a warning, and a few are enough for that.
    pub const MAX_UNKNOWN: usize = 4;

    /// Reads an account's metadata. `None` without annotations or label of the product.
    #[must_use]
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
            let known = [
                key::CLIENT_ID,
                key::TENANT_ID,
                key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
            ];
            let known = known.into_iter().find(|key| key == name);
            if known.is_some() && value.chars().nth(Self::MAX_VALUE).is_some() {
                account.too_long = known;
                continue;
            }
            match name.as_str() {
                key::CLIENT_ID => account.client_id = literal(value.trim()).into(),
                key::TENANT_ID => account.tenant_id = literal(value.trim()).into(),
                key::SERVICE_ACCOUNT_TOKEN_EXPIRATION => {
                    account.token_expiration = Some(value.as_str().into());
                }
                name if name.starts_with(key::PREFIX) && unknown.len() < Self::MAX_UNKNOWN => {
                    unknown.push(name.chars().take(MAX_KEY).collect::<String>().into());
                }
                _ => {}
            }
        }
        account.unknown = unknown.into();
        (account != Self::default()).then_some(account)
    }
}

/// Characters of a key. Kubernetes allows no more after the product's prefix.
const MAX_KEY: usize = key::PREFIX.len() + 63;

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
    fn keeps_the_products_annotations_alone() {
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
    fn keeps_neither_a_long_value_nor_many_keys() {
        let long = "x".repeat(Account::MAX_VALUE + 1);
        for name in [
            key::CLIENT_ID,
            key::TENANT_ID,
            key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
        ] {
            let account = Account::read(&map(&[(name, &long)]), &map(&[])).unwrap();
            let remembered = Account {
                too_long: Some(name),
                ..Account::default()
            };
            assert_eq!(account, remembered);
            let longest = long.get(1..).unwrap();
            let account = Account::read(&map(&[(name, longest)]), &map(&[])).unwrap();
            assert_eq!(account.too_long, None);
        }
        let many = (0..2_900).map(|nth| format!("{}{nth}{long}", key::PREFIX));
        let many = many.map(|name| (name, String::new())).collect();
        let account = Account::read(&many, &map(&[])).unwrap();
        assert_eq!(account.unknown.len(), Account::MAX_UNKNOWN);
        assert!(account.unknown.iter().all(|name| name.len() <= MAX_KEY));
    }

    #[test]
    fn escapes_references_to_other_variables() {
        let read = |value| {
            let annotations = map(&[("azure.workload.identity/client-id", value)]);
            Account::read(&annotations, &map(&[])).unwrap().client_id
        };
        assert_eq!(&*read("$(PASSWORD)"), "$$(PASSWORD)");
        assert_eq!(&*read("$$$(PASSWORD)"), "$$$$$$(PASSWORD)");
    }

    #[test]
    fn an_account_without_annotations_of_the_product_is_none() {
        assert_eq!(Account::read(&map(&[]), &map(&[])), None);
        assert_eq!(
            Account::read(&map(&[("a", "b")]), &map(&[("a", "b")])),
            None
        );
    }
}
