//! AKS identity bindings: the exchange goes to a token proxy in the cluster, which has its own
//! certificate authority (azidentity's `customtokenproxy`).

use std::path::PathBuf;
use std::sync::Mutex;

use contract::value::{self, CaData, TokenProxy};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use super::resolver::LimitedResolver;
use super::roots::{MAX_CERTIFICATES, Roots, RootsError};
use crate::file;

/// The token proxy to use, checked.
#[derive(Debug)]
pub struct Binding {
    pub(super) url: Url,
    pub(super) server_name: Option<ServerName>,
    pub(super) authority: Authority,
}

/// The settings of identity bindings contradict each other.
#[derive(Debug, Error)]
pub enum BindingError {
    /// Two sources of certificates.
    #[error("only one of AZURE_KUBERNETES_CA_FILE and AZURE_KUBERNETES_CA_DATA may be set")]
    TwoAuthorities,
    /// Settings of a token proxy, but not its address.
    #[error(
        "AZURE_KUBERNETES_TOKEN_PROXY is not set but other AZURE_KUBERNETES_ settings are: set it, \
         or remove them"
    )]
    Unused,
    /// The HTTP library cannot use the URL, or not with this server name. A test shows that it can use
    /// every [`TokenProxy`] and every name.
    #[error("AZURE_KUBERNETES_TOKEN_PROXY cannot be used")]
    Url,
}

/// Where the token proxy's certificate authority is.
#[derive(Debug)]
pub(super) enum Authority {
    /// The same authorities as for Entra.
    BuiltIn,
    Data(Roots),
    /// A file, read for each request because it can be replaced at any time.
    File(PathBuf),
}

/// The name in the token proxy's certificate, and the address behind it. A request's URL holds the
/// name, and this resolves it.
#[derive(Clone, Debug)]
pub(super) struct ServerName {
    pub(super) name: String,
    addresses: LimitedResolver,
    host: String,
    port: u16,
}

impl Binding {
    /// A binding of the values of `AZURE_KUBERNETES_TOKEN_PROXY`, `_SNI_NAME`, `_CA_FILE` and `_CA_DATA`.
    /// `None` when none is set.
    ///
    /// # Errors
    ///
    /// The values contradict each other.
    pub fn new(
        token_proxy: Option<&TokenProxy>,
        sni_name: Option<&value::ServerName>,
        ca_file: Option<PathBuf>,
        ca_data: Option<&CaData>,
    ) -> Result<Option<Self>, BindingError> {
        let Some(token_proxy) = token_proxy else {
            return if sni_name.is_none() && ca_file.is_none() && ca_data.is_none() {
                Ok(None)
            } else {
                Err(BindingError::Unused)
            };
        };
        let authority = match (ca_file, ca_data) {
            (None, None) => Authority::BuiltIn,
            (Some(file), None) => Authority::File(file),
            (None, Some(data)) => Authority::Data(data.into()),
            (Some(_), Some(_)) => return Err(BindingError::TwoAuthorities),
        };
        let url = Url::parse(&token_proxy.to_string()).map_err(|_| BindingError::Url)?;
        let server_name = sni_name
            .map(|name| ServerName::new(name, &url))
            .transpose()?;
        Ok(Some(Self {
            url,
            server_name,
            authority,
        }))
    }

    /// The URL to send to instead of `endpoint`: the token proxy's, with the endpoint's path
    /// behind its own.
    pub(super) fn instead_of(&self, endpoint: &Url) -> Url {
        let mut url = self.url.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), endpoint.path());
        url.set_path(&path);
        if let Some(server_name) = &self.server_name {
            // `ServerName` accepts only names that `set_host` accepts, too.
            let _ = url.set_host(Some(&server_name.name));
        }
        url
    }
}

impl ServerName {
    fn new(name: &value::ServerName, url: &Url) -> Result<Self, BindingError> {
        let name = name.to_string();
        let mut named = url.clone();
        if named.set_host(Some(&name)).is_err() || named.domain() != Some(&*name) {
            return Err(BindingError::Url);
        }
        let host = url.host_str().unwrap_or_default();
        Ok(Self {
            name,
            addresses: LimitedResolver::default(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(443),
        })
    }
}

impl Resolve for ServerName {
    fn resolve(&self, _: Name) -> Resolving {
        let target = self.clone();
        Box::pin(async move {
            let found = target.addresses.look_up(&target.host, target.port).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The client for the file's present contents.
#[derive(Debug, Default)]
pub(super) struct FromFile(Mutex<Option<(Vec<u8>, reqwest::Client)>>);

impl FromFile {
    /// The client that trusts the file's present certificates. An empty file is probably being replaced,
    /// so the old client stays.
    pub(super) fn client<E: From<RootsError>>(
        &self,
        path: &std::path::Path,
        make: impl FnOnce(Roots) -> Result<reqwest::Client, E>,
    ) -> Result<reqwest::Client, E> {
        const FROM: &str = "AZURE_KUBERNETES_CA_FILE";
        let pem = file::read(path, MAX_CERTIFICATES).map_err(|source| RootsError::Unreadable {
            from: FROM,
            path: path.to_owned(),
            source,
        })?;
        let mut made = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*made {
            Some((seen, client)) if pem.is_empty() || *seen == pem => Ok(client.clone()),
            _ => {
                let client = make(Roots::only(FROM, &pem)?)?;
                *made = Some((pem, client.clone()));
                Ok(client)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binding(values: [&str; 4]) -> Result<Option<Binding>, BindingError> {
        let [token_proxy, sni_name, ca_file, ca_data] =
            values.map(|it| Some(it).filter(|it| !it.is_empty()));
        Binding::new(
            token_proxy.map(|it| it.parse().unwrap()).as_ref(),
            sni_name.map(|it| it.parse().unwrap()).as_ref(),
            ca_file.map(PathBuf::from),
            ca_data.map(|it| it.parse().unwrap()).as_ref(),
        )
    }

    fn certificate() -> String {
        let authority = testkit::certificate::Authority::new("ca.example").unwrap();
        authority.certificate().to_owned()
    }

    #[test]
    fn nothing_set_means_no_binding() {
        assert!(binding(["", "", "", ""]).unwrap().is_none());
    }

    #[test]
    fn settings_that_contradict_each_other_are_mistakes_as_in_azidentity() {
        let pem = certificate();
        for values in [["", "a", "", ""], ["", "", "/f", ""], ["", "", "", &pem]] {
            assert!(
                matches!(binding(values), Err(BindingError::Unused)),
                "{values:?}"
            );
        }
        let both = binding(["https://a", "", "/f", &pem]);
        assert!(matches!(both, Err(BindingError::TwoAuthorities)));
        assert!(binding(["https://a", "", "", &pem]).is_ok());
    }

    proptest! {
        #[test]
        fn the_http_library_can_use_every_token_proxy_and_name(
            url in r"https://([a-zA-Z0-9._-]{1,9}|[0-9.]{1,9}|\[[0-9a-f:.]{1,9}\])(:[0-9]{1,5})?(/[!-~]{0,4})?",
            name in r"[a-zA-Z0-9._-]{1,12}",
        ) {
            if let (Ok(url), Ok(name)) = (url.parse::<TokenProxy>(), name.parse()) {
                let binding = Binding::new(Some(&url), Some(&name), None, None);
                prop_assert!(binding.is_ok(), "{url} {name}");
            }
        }
    }

    #[test]
    fn paths_are_joined_and_the_name_is_in_the_url() {
        let endpoint = Url::parse("https://login/tenant/oauth2/v2.0/token").unwrap();
        for (token_proxy, sni, wanted) in [
            (
                "https://proxy/base",
                "",
                "https://proxy/base/tenant/oauth2/v2.0/token",
            ),
            (
                "https://proxy/v1/",
                "",
                "https://proxy/v1/tenant/oauth2/v2.0/token",
            ),
            (
                "https://proxy",
                "",
                "https://proxy/tenant/oauth2/v2.0/token",
            ),
            (
                "https://10.0.0.1:8443/",
                "sni.aks",
                "https://sni.aks:8443/tenant/oauth2/v2.0/token",
            ),
        ] {
            let binding = binding([token_proxy, sni, "", ""]).unwrap().unwrap();
            assert_eq!(binding.instead_of(&endpoint).as_str(), wanted);
        }
    }

    #[tokio::test]
    async fn the_name_leads_to_the_token_proxys_address() {
        let url = Url::parse("https://127.0.0.9:8443").unwrap();
        let name = ServerName::new(&"sni.aks".parse().unwrap(), &url).unwrap();
        let found = name.resolve("sni.aks".parse().unwrap()).await;
        let found: Vec<_> = found.unwrap_or_else(|error| panic!("{error}")).collect();
        assert_eq!(found, ["127.0.0.9:8443".parse().unwrap()]);
    }
}
