//! The Azure clouds by name, as in go-autorest's `EnvironmentFromName`.

use serde::Deserialize;

use super::Reader;

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

/// The Entra authority: the flag's, else that of the cloud in `AZURE_ENVIRONMENT`.
pub(super) fn authority_host(reader: &mut Reader<'_>, flag: Option<String>) -> String {
    let (source, host) = match flag {
        Some(host) => ("--authority-host", Ok(host)),
        None => ("AZURE_ENVIRONMENT", of_environment(reader)),
    };
    match host.and_then(|host| normalised(&host)) {
        Ok(host) => host,
        Err(reason) => {
            reader.mistake(format!("{source}: {reason}"));
            String::new()
        }
    }
}

fn of_environment(reader: &Reader<'_>) -> Result<String, String> {
    let name = reader
        .variable("AZURE_ENVIRONMENT")
        .unwrap_or_else(|| "AzurePublicCloud".to_owned());
    let lower = name.to_ascii_lowercase();
    if lower == "azurestackcloud" {
        return of_stack(reader);
    }
    let known = CLOUDS.iter().find(|(cloud, _)| *cloud == lower);
    known.map(|(_, host)| (*host).to_owned()).ok_or_else(|| {
        format!(
            "there is no cloud of the name {name:?}: use AzurePublicCloud, AzureUSGovernmentCloud, \
             AzureChinaCloud or AzureStackCloud, or give --authority-host"
        )
    })
}

/// A disconnected cloud describes itself in a file.
fn of_stack(reader: &Reader<'_>) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Description {
        active_directory_endpoint: String,
    }

    let variable = "AZURE_ENVIRONMENT_FILEPATH";
    let path = reader
        .variable(variable)
        .ok_or_else(|| format!("AzureStackCloud needs {variable}, the file that describes it"))?;
    let text = std::fs::read(&path).map_err(|error| format!("{variable}={path}: {error}"))?;
    let description: Description =
        serde_json::from_slice(&text).map_err(|error| format!("{variable}={path}: {error}"))?;
    Ok(description.active_directory_endpoint)
}

/// With one trailing slash.
fn normalised(host: &str) -> Result<String, String> {
    let rest = host.strip_prefix("https://");
    let rest = rest.ok_or_else(|| format!("the authority {host:?} must begin with https://"))?;
    let is_plain = !rest.starts_with('/')
        && !rest.is_empty()
        && !rest.contains(|it: char| matches!(it, '?' | '#' | '@') || it.is_whitespace());
    if !is_plain {
        return Err(format!(
            "the authority {host:?} must be a host, as in https://login.example/"
        ));
    }
    Ok(format!("https://{}/", rest.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(flag: Option<&str>, environment: Option<&str>) -> Result<String, Vec<String>> {
        let env = |name: &str| {
            environment
                .filter(|_| name == "AZURE_ENVIRONMENT")
                .map(ToOwned::to_owned)
        };
        let mut reader = Reader {
            env: &env,
            mistakes: Vec::new(),
        };
        let host = authority_host(&mut reader, flag.map(ToOwned::to_owned));
        if reader.mistakes.is_empty() {
            Ok(host)
        } else {
            Err(reader.mistakes)
        }
    }

    #[test]
    fn clouds_are_known_in_any_case() {
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
    fn a_flag_wins_and_gets_its_slash() {
        assert_eq!(
            host(Some("https://login.sovcloud-identity.fr"), Some("nonsense")).unwrap(),
            "https://login.sovcloud-identity.fr/"
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (flag, environment, part) in [
            (None, Some("Mars"), "\"Mars\""),
            (None, Some("AzureStackCloud"), "AZURE_ENVIRONMENT_FILEPATH"),
            (Some("http://login.example"), None, "https://"),
            (Some("https://"), None, "must be a host"),
            (Some("https://a@b/"), None, "must be a host"),
        ] {
            let mistakes = host(flag, environment).unwrap_err();
            assert!(mistakes[0].contains(part), "{mistakes:?}");
        }
    }
}
