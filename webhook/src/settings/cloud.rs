//! The Azure clouds by name, as in go-autorest's `EnvironmentFromName`.

use std::{fs, io};

use contract::value::{Authority, AuthorityError};
use serde::Deserialize;
use service_kit::settings::{Mistakes, Setting};
use thiserror::Error;

use super::variables::Variables;

/// The Entra authority: the flag's, else that of the cloud in `AZURE_ENVIRONMENT`. `None` after a
/// mistake was added.
pub(super) fn authority(
    variables: &Variables<'_>,
    flag: Option<Setting<Authority>>,
    mistakes: &mut Mistakes,
) -> Option<Authority> {
    match flag {
        Some(authority) => mistakes.read("--authority-host", authority),
        None => {
            let authority = of_environment(variables);
            mistakes.keep(authority.map_err(|error| format!("AZURE_ENVIRONMENT: {error}")))
        }
    }
}

/// A cloud without a known authority.
#[derive(Debug, Error)]
enum CloudError {
    #[error("{FILE}={path}: {error}")]
    Authority { path: String, error: AuthorityError },
    #[error("AzureStackCloud needs {FILE}, the file that describes it")]
    NoFile,
    #[error(
        "there is no cloud with the name {0:?}: use AzurePublicCloud, AzureUSGovernmentCloud, \
         AzureChinaCloud or AzureStackCloud, or give --authority-host"
    )]
    Unknown(String),
    #[error("{FILE}={path}: {error}")]
    Unreadable { path: String, error: io::Error },
}

fn of_environment(variables: &Variables<'_>) -> Result<Authority, CloudError> {
    let name = variables
        .text("AZURE_ENVIRONMENT")
        .unwrap_or_else(|| "AzurePublicCloud".to_owned());
    let lower = name.to_ascii_lowercase();
    if lower == "azurestackcloud" {
        return of_stack(variables);
    }
    let known = CLOUDS.iter().find(|(cloud, _)| *cloud == lower);
    let authority = known.and_then(|(_, host)| host.parse().ok());
    authority.ok_or(CloudError::Unknown(name))
}

/// The authority of a disconnected cloud, which describes itself in a file.
fn of_stack(variables: &Variables<'_>) -> Result<Authority, CloudError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Description {
        active_directory_endpoint: String,
    }

    let path = variables.text(FILE).ok_or(CloudError::NoFile)?;
    let description = fs::read(&path)
        .and_then(|text| serde_json::from_slice::<Description>(&text).map_err(io::Error::from));
    match description {
        Ok(description) => description
            .active_directory_endpoint
            .parse()
            .map_err(|error| CloudError::Authority { path, error }),
        Err(error) => Err(CloudError::Unreadable { path, error }),
    }
}

const FILE: &str = "AZURE_ENVIRONMENT_FILEPATH";

/// Lower-case names and their authorities.
const CLOUDS: &[(&str, &str)] = &[
    ("azurepubliccloud", "https://login.microsoftonline.com/"),
    ("azurecloud", "https://login.microsoftonline.com/"),
    (
        "azureusgovernmentcloud",
        "https://login.microsoftonline.us/",
    ),
    ("azureusgovernment", "https://login.microsoftonline.us/"),
    ("azurechinacloud", "https://login.chinacloudapi.cn/"),
    ("azuregermancloud", "https://login.microsoftonline.de/"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn host(flag: Option<&str>, environment: Option<&str>) -> Result<String, Vec<String>> {
        let variable = |name: &str| {
            let environment = environment.filter(|_| name == "AZURE_ENVIRONMENT");
            environment.map(Into::into)
        };
        let mut mistakes = Mistakes::default();
        let flag = flag.map(|flag| Setting::of(&flag));
        let authority = authority(&Variables(&variable), flag, &mut mistakes);
        let authority = mistakes.finish(authority);
        authority
            .map(|it| it.to_string())
            .map_err(|error| error.mistakes().to_vec())
    }

    #[test]
    fn knows_clouds_in_any_case() {
        let public = "https://login.microsoftonline.com/";
        assert_eq!(host(None, None).unwrap(), public);
        assert_eq!(host(None, Some("AZUREPUBLICCLOUD")).unwrap(), public);
        assert_eq!(
            host(None, Some("AzureUSGovernment")).unwrap(),
            "https://login.microsoftonline.us/"
        );
        assert_eq!(
            host(None, Some("AzureChinaCloud")).unwrap(),
            "https://login.chinacloudapi.cn/"
        );
    }

    #[test]
    fn a_flag_wins_and_gets_a_slash() {
        assert_eq!(
            host(Some("https://login.sovcloud-identity.fr"), Some("nonsense")).unwrap(),
            "https://login.sovcloud-identity.fr/"
        );
    }

    #[test]
    fn rejects_unknown_clouds_and_authorities() {
        for (flag, environment, part) in [
            (None, Some("Mars"), "\"Mars\""),
            (None, Some("AzureStackCloud"), "AZURE_ENVIRONMENT_FILEPATH"),
            (Some("http://login.example"), None, "https://"),
            (Some("https://"), None, "is not a URL"),
            (Some("https://[::/"), None, "is not a URL"),
            (Some("https://login.example:99999/"), None, "is not a URL"),
            (Some("https://a@b/"), None, "have no user"),
        ] {
            let mistakes = host(flag, environment).unwrap_err();
            assert!(mistakes[0].contains(part), "{mistakes:?}");
        }
    }
}
