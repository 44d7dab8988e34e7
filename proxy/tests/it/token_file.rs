//! The service account token's file, as the kubelet writes it and damaged.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use uuid::Uuid;

use crate::azure::{World, assertion as signed};
use crate::entra::{Entra, token};
use crate::sidecar::{AUDIENCE, SUBJECT, Sidecar, TokenFile, assertion, config};

const VAULT: &str = "resource=https://vault.azure.net";

#[tokio::test]
async fn names_a_file_without_a_whole_token_and_sends_nothing() {
    let whole = assertion("first");
    let cut = &whole[..whole.rfind('.').unwrap()];
    for (content, part) in [
        ("", "is not a JSON Web Token"),
        ("\n", "is not a JSON Web Token"),
        (cut, "is not a JSON Web Token"),
        ("-----BEGIN CERTIFICATE-----", "is not a JSON Web Token"),
    ] {
        let entra = Entra::start("localhost").await;
        let sidecar = Sidecar::start(&entra, &[]).await;
        fs::write(&sidecar.token_file.0, content).unwrap();
        let refused = sidecar.token(VAULT).await;
        assert_eq!(refused.status, 503, "{content:?}");
        let text = refused.text("error_description");
        let path = sidecar.token_file.0.display().to_string();
        assert!(text.contains(part) && text.contains(&path), "{text}");
        assert_eq!(entra.requests().len(), 0, "{content:?}");

        // The kubelet writes it again.
        sidecar.token_file.write("second");
        sidecar.until_granted(VAULT).await;
    }
}

/// An attacker who can write to the file's directory.
#[tokio::test]
async fn a_token_file_that_is_no_regular_file_blocks_nothing() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    assert_eq!(sidecar.token("resource=cached").await.status, 200);
    let path = &sidecar.token_file.0;
    let attacks: [(&dyn Fn(), &str); 4] = [
        (
            &|| mkfifo(path, Mode::S_IRWXU).unwrap(),
            "not a regular file",
        ),
        (
            &|| symlink("/dev/zero", path).unwrap(),
            "not a regular file",
        ),
        (&|| symlink("/", path).unwrap(), "not a regular file"),
        (
            &|| fs::write(path, "a.b.".repeat(40_000)).unwrap(),
            "larger than 64 KiB",
        ),
    ];
    for (nth, (attack, part)) in attacks.iter().enumerate() {
        fs::remove_file(path).unwrap();
        attack();
        let refused = sidecar.token(&format!("resource={nth}")).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        let text = refused.text("error_description");
        assert!(text.contains(part), "{text}");
        let ready = sidecar.get("/readyz", "").await;
        let is_regular = part.contains("64 KiB");
        assert_eq!(
            ready.status,
            if is_regular { 200 } else { 503 },
            "{ready:?}"
        );
        assert_eq!(sidecar.token("resource=cached").await.status, 200);
    }
}

#[tokio::test]
async fn reads_a_truncated_token_again_and_then_reports_it() {
    let world = World::start().await;
    let whole = signed(SUBJECT, AUDIENCE);
    // The rest of the signature has a length that base64 never has. Of other lengths, 1 in 16 decodes.
    let (_, signature) = whole.rsplit_once('.').unwrap();
    let cut = &whole[..whole.len() - signature.len() % 4 - 3];
    fs::write(&world.sidecar.token_file.0, cut).unwrap();
    let refused = world.sidecar.token(VAULT).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let text = refused.text("error_description");
    for part in ["AADSTS50027", "AZURE_FEDERATED_TOKEN_FILE"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(&whole[..20]), "law 8: {text}");
    assert_eq!(world.exchanges("https://vault.azure.net").await, 2);
}

#[tokio::test]
async fn reports_the_audience_of_a_token_with_another_one() {
    let world = World::start().await;
    let cluster = "https://kubernetes.default.svc";
    fs::write(&world.sidecar.token_file.0, signed(SUBJECT, cluster)).unwrap();
    let refused = world.sidecar.token(VAULT).await;
    assert_eq!(refused.status, 400);
    let text = refused.text("error_description");
    for part in ["AADSTS700212", &format!("audience '{cluster}'"), "To fix:"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// The kubelet writes a new directory and renames a symbolic link to it (its AtomicWriter).
#[tokio::test]
async fn reads_a_token_that_is_replaced_as_the_old_or_the_new_one() {
    let directory = std::env::temp_dir().join(format!("proxy-test-{}", Uuid::new_v4()));
    fs::create_dir(&directory).unwrap();
    // Longer than a page, so that a torn read shows.
    let tokens = ["old", "new"].map(|mark| assertion(&mark.repeat(10_000)));
    for (name, token) in ["a", "b"].iter().zip(&tokens) {
        fs::create_dir(directory.join(name)).unwrap();
        fs::write(directory.join(name).join("token"), token).unwrap();
    }
    symlink("a", directory.join("..data")).unwrap();
    symlink("..data/token", directory.join("token")).unwrap();

    let entra = Entra::start("localhost").await;
    entra.answer(|_, _| token("t", 3600));
    let file = TokenFile(directory.join("token"));
    let config = config(&entra, &file, &[]);
    let sidecar = Sidecar::start_with(config, file).await;
    let ended = Arc::new(AtomicBool::new(false));
    let kubelet = thread::spawn({
        let (ended, directory) = (Arc::clone(&ended), directory.clone());
        move || {
            for name in ["b", "a"].iter().cycle() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                symlink(name, directory.join("..data_tmp")).unwrap();
                fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
            }
        }
    });
    let mut presented = BTreeSet::new();
    for nth in 0..200 {
        assert_eq!(sidecar.token(&format!("resource=r{nth}")).await.status, 200);
    }
    ended.store(true, Ordering::Relaxed);
    kubelet.join().unwrap();
    presented.extend(
        entra
            .requests()
            .iter()
            .map(|it| it.form["client_assertion"].clone()),
    );
    assert_eq!(presented, BTreeSet::from(tokens));
    fs::remove_dir_all(directory).unwrap();
}
