//! `azwi jwks` and `azwi issuer publish`. The expected key ids were computed without this project's code.

use std::fs;
use std::path::{Path, PathBuf};

use azwi::facts::key_set::{Key, KeySet};
use azwi::issuer::{KeyError, read_keys};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rsa::rand_core::OsRng;
use serde_json::{Value, json};

use crate::fixture::healthy;
use crate::process::{self, azwi_alone as azwi};

const GOLDEN: &str = include_str!("keys/golden.json");
const FIRST: &str = "LiiLWgvOS_rkxdwUD3-5CX4mNIKM2CqN3RV21AlAvgo";
const SECOND: &str = "R8THaQpDO9F2ngsOo5urlsFtrGnNWkRDRwU7Z3oXGWg";

fn file(name: &str) -> String {
    format!("{}/tests/azwi/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("azwi-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn argument(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.0.join(path)).unwrap()).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        let keys = self.json("openid/v1/jwks");
        let ids = keys["keys"].as_array().unwrap().iter();
        ids.map(|it| it["kid"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn writes_upstreams_document_byte_for_byte() {
    let keys = format!("{},{}", file("a.pub"), file("b.pub"));
    let output = azwi(&["jwks", "--public-keys", &keys]);
    assert_eq!(process::text(&output), format!("{GOLDEN}\n"));
    let directory = Directory::new("jwks");
    let out = format!("{}/jwks.json", directory.argument());
    let twice = [
        "jwks",
        "--public-keys",
        &file("a.pub"),
        "--public-keys",
        &file("b.pub"),
        "--output-file",
        &out,
    ];
    let output = azwi(&twice);
    assert_eq!(
        (output.status.code(), process::text(&output)),
        (Some(0), String::new())
    );
    assert_eq!(fs::read_to_string(out).unwrap(), GOLDEN);
}

#[test]
fn every_form_of_a_key_has_the_same_id() {
    for name in ["a.pub", "a.pkcs1", "a.crt"] {
        let text = fs::read_to_string(file(name)).unwrap();
        let of_windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        for text in [text, of_windows] {
            let keys = read_keys(text.as_bytes()).unwrap();
            assert_eq!(KeySet::of(&keys).keys[0].id(), FIRST, "{name}");
        }
    }
}

/// Another library encodes the key, and this one's id is compared with the hash of that.
#[test]
fn a_private_key_gives_its_public_part_alone() {
    let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
    let private = key.to_pkcs8_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(private.as_bytes())
    );
    let set = KeySet::of(&read_keys(pem.as_bytes()).unwrap());
    let public = key.to_public_key().to_public_key_der().unwrap();
    let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, public.as_bytes()));
    assert_eq!(set.keys[0].id(), id);
    assert!(!set.keys[0].is_secret());
}

#[test]
fn says_why_a_file_has_no_key_for_entra() {
    let refused = |args: &[&str]| {
        let output = azwi(args);
        assert_eq!(output.status.code(), Some(1), "{}", process::text(&output));
        process::text(&output)
    };
    for (name, part) in [
        ("ec.pub", "RS256 alone"),
        ("short.pub", "1024 bits"),
        ("README.md", "no PEM block"),
        ("absent", "No such file"),
    ] {
        let text = refused(&["jwks", "--public-keys", &file(name)]);
        assert!(text.contains(part) && text.contains(name), "{text}");
    }
    assert_eq!(azwi(&["jwks"]).status.code(), Some(64));
    for text in [
        "",
        "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n",
    ] {
        assert!(read_keys(text.as_bytes()).is_err(), "{text}");
    }
    let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let error = read_keys(broken.as_bytes()).unwrap_err();
    assert_eq!(error, KeyError::Block("PUBLIC KEY".to_owned()));
}

#[test]
fn publishes_a_rotation_without_a_gap() {
    let directory = Directory::new("publish");
    let publish = |keys: &str, more: &[&str]| {
        let issuer = "https://issuer.example.com/cluster";
        let mut args = vec![
            "issuer",
            "publish",
            directory.argument(),
            "--issuer",
            issuer,
        ];
        args.extend(["--public-keys", keys]);
        args.extend(more);
        azwi(&args)
    };
    let output = publish(&file("a.pub"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", process::text(&output));
    assert_eq!(directory.ids(), [FIRST]);
    assert_eq!(
        directory.json(".well-known/openid-configuration"),
        json!({
            "issuer": "https://issuer.example.com/cluster",
            "jwks_uri": "https://issuer.example.com/cluster/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    );
    let output = publish(&file("b.pub"), &[]);
    assert_eq!(directory.ids(), [SECOND, FIRST]);
    let advice = format!("--drop-key {FIRST}\n");
    assert!(
        process::text(&output).contains(&advice),
        "{}",
        process::text(&output)
    );
    let output = publish(&file("b.pub"), &["--drop-key", SECOND]);
    assert_eq!(output.status.code(), Some(1), "{}", process::text(&output));
    assert_eq!(directory.ids(), [SECOND, FIRST]);
    publish(&file("b.pub"), &["--drop-key", FIRST]);
    assert_eq!(directory.ids(), [SECOND]);
    let other = [
        "issuer",
        "publish",
        directory.argument(),
        "--issuer",
        "https://other.example.com",
        "--public-keys",
        &file("a.pub"),
    ];
    let output = azwi(&other);
    assert_eq!(output.status.code(), Some(1));
    assert!(process::text(&output).contains("of issuer \"https://issuer.example.com/cluster\""));
    assert!(!directory.0.join("openid/v1/jwks.new").exists());
}

#[tokio::test]
async fn publishes_what_the_cluster_has() {
    let directory = Directory::new("cluster");
    let args = ["issuer", "publish", directory.argument()];
    let output = process::azwi(healthy(), &args).await;
    assert_eq!(output.status.code(), Some(0), "{}", process::text(&output));
    assert_eq!(directory.ids(), ["key-1"]);
    let a = file("a.pub");
    let args = [
        "issuer",
        "publish",
        directory.argument(),
        "--public-keys",
        &a,
    ];
    let output = process::azwi(healthy(), &args).await;
    assert_eq!(output.status.code(), Some(0), "{}", process::text(&output));
    let issuer = &directory.json(".well-known/openid-configuration")["issuer"];
    assert_eq!(issuer, "https://issuer.example.com/cluster/");
    let mut private = healthy();
    private.issuer.documented = "https://kubernetes.default.svc.cluster.local";
    let output = process::azwi(private, &args).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        process::text(&output).contains("is not public"),
        "{}",
        process::text(&output)
    );
}

/// No test writes beside the keys.
#[test]
fn the_golden_file_has_both_keys() {
    let set: KeySet = serde_json::from_str(GOLDEN).unwrap();
    let ids: Vec<&str> = set.keys.iter().map(|it| it.id()).collect();
    assert_eq!(ids, [FIRST, SECOND]);
    assert!(set.keys.iter().all(Key::is_usable));
    assert!(Path::new(&file("golden.json")).exists());
}
