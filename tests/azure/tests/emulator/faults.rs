//! Faults: rules and closed sockets.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Result;
use azure_emulator::{ConnectionFault, Jwt, Respond, Rule, Service, Socket, TokenChange};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::world::{CLIENT, OTHER_CLIENT, SUBJECT, World, assertion, client};

fn entra(rule: Rule) -> Rule {
    Rule {
        service: Some(Service::Entra),
        ..rule
    }
}

#[tokio::test]
async fn a_rule_makes_the_first_answers_errors() -> Result<()> {
    let world = World::start().await?;
    let rule = entra(Rule {
        aadsts: Some(700_213),
        times: Some(2),
        ..Rule::default()
    });
    let id = world.azure.control.add_rule(&rule).await?;
    for status in [401, 401, 200] {
        let answer = world.token(&assertion()?, &[]).await?;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 401 {
            assert!(answer.text.contains(&format!("'{SUBJECT}'")), "{answer:?}");
        }
    }
    let states = world.azure.control.rules().await?;
    assert_eq!((states[0].id, states[0].matched), (id, 3));
    Ok(())
}

#[tokio::test]
async fn a_listed_error_has_its_own_status() -> Result<()> {
    let world = World::start().await?;
    for (code, status) in [(90_055, 429), (90_033, 503), (700_016, 400), (50_196, 400)] {
        let rule = Rule {
            aadsts: Some(code),
            times: Some(1),
            ..Rule::default()
        };
        world.azure.control.add_rule(&rule).await?;
        let answer = world.token(&assertion()?, &[]).await?;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            answer.text.contains(&format!("AADSTS{code}: ")),
            "{answer:?}"
        );
        let retry_after = if status == 429 { "60" } else { "" };
        assert_eq!(answer.header("retry-after"), retry_after);
    }
    Ok(())
}

#[tokio::test]
async fn a_rule_sets_any_answer_for_one_client() -> Result<()> {
    let world = World::start().await?;
    let rule = Rule {
        client_id: Some(OTHER_CLIENT.to_owned()),
        respond: Some(Respond {
            status: 503,
            headers: [("content-type".to_owned(), "text/html".to_owned())].into(),
            body: "<html>".to_owned(),
            padding_bytes: 1_000_000,
        }),
        ..Rule::default()
    };
    let id = world.azure.control.add_rule(&rule).await?;
    let other = [("client_id", OTHER_CLIENT)];
    let answer = world.token(&assertion()?, &other).await?;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("content-type"), "text/html");
    assert_eq!(answer.text.len(), 1_000_006);
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    world.azure.control.remove_rule(id).await?;
    assert_eq!(world.token(&assertion()?, &other).await?.status, 200);
    let impossible = Rule {
        respond: Some(Respond {
            status: 7,
            headers: [].into(),
            body: String::new(),
            padding_bytes: 0,
        }),
        ..Rule::default()
    };
    assert!(world.azure.control.add_rule(&impossible).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_rule_delays_answers() -> Result<()> {
    let world = World::start().await?;
    let rule = entra(Rule {
        delay_ms: 300,
        ..Rule::default()
    });
    world.azure.control.add_rule(&rule).await?;
    let begin = Instant::now();
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    Ok(())
}

#[tokio::test]
async fn a_rule_resets_a_connection_before_the_answer_or_in_its_middle() -> Result<()> {
    let world = World::start().await?;
    for (fault, gets_headers) in [
        (ConnectionFault::Reset, false),
        (ConnectionFault::ResetMidBody, true),
    ] {
        let rule = Rule {
            connection: Some(fault),
            times: Some(1),
            ..Rule::default()
        };
        world.azure.control.add_rule(&rule).await?;
        let url = format!("http://{}/metadata/versions", world.azure.imds_address);
        let sent = world.http.get(url).header("Metadata", "true").send().await;
        assert_eq!(sent.is_ok(), gets_headers, "{fault:?}");
        if let Ok(response) = sent {
            assert!(response.content_length().is_some_and(|length| length > 0));
            assert!(response.bytes().await.is_err());
        }
        world.azure.control.add_rule(&rule).await?;
        assert!(world.token(&assertion()?, &[]).await.is_err(), "{fault:?}");
        assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_reset_is_a_tcp_reset() -> Result<()> {
    let world = World::start().await?;
    let rule = Rule {
        connection: Some(ConnectionFault::Reset),
        ..Rule::default()
    };
    world.azure.control.add_rule(&rule).await?;
    let mut stream = TcpStream::connect(world.azure.imds_address).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await?;
    let read = stream.read(&mut [0; 16]).await;
    let kind = read.err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::ConnectionReset));
    Ok(())
}

#[tokio::test]
async fn a_rule_leaves_a_request_without_an_answer() -> Result<()> {
    let world = World::start().await?;
    let rule = entra(Rule {
        connection: Some(ConnectionFault::Hang),
        times: Some(1),
        ..Rule::default()
    });
    world.azure.control.add_rule(&rule).await?;
    let assertion = assertion()?;
    let hanging = world.token(&assertion, &[]);
    let seen = world
        .azure
        .control
        .wait_for_requests(Some(Service::Entra), 1);
    tokio::select! {
        answer = hanging => anyhow::bail!("answered: {answer:?}"),
        seen = seen => assert_eq!(seen?[0].status, None),
    }
    assert_eq!(world.token(&assertion, &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_closed_socket_refuses_connections_until_it_is_opened() -> Result<()> {
    let world = World::start().await?;
    let control = &world.azure.control;
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    control.set_listening(Socket::Azure, false).await?;
    let fresh = TcpStream::connect(world.azure.address).await;
    let refused = fresh.err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
    assert!(world.token(&assertion()?, &[]).await.is_err());
    control.set_listening(Socket::Azure, true).await?;
    assert_eq!(world.token(&assertion()?, &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_rule_changes_tokens_for_one_client() -> Result<()> {
    let world = World::start().await?;
    let rule = Rule {
        client_id: Some(CLIENT.to_owned()),
        token: Some(TokenChange {
            lifetime_seconds: Some(600),
            refresh_in: Some(300),
            padding_bytes: Some(3_000),
            clock_skew_seconds: None,
        }),
        ..Rule::default()
    };
    world.azure.control.add_rule(&rule).await?;
    let body = world.token(&assertion()?, &[]).await?.json()?;
    assert_eq!(body["expires_in"], 600);
    assert_eq!(body["refresh_in"], 300);
    let token = body["access_token"].as_str().unwrap_or_default();
    assert!(token.len() > 3_000);
    assert_eq!(Jwt::parse(token)?.text("appid"), Some(CLIENT));
    let body = world
        .token(&assertion()?, &[("client_id", OTHER_CLIENT)])
        .await?
        .json()?;
    assert_eq!(body["expires_in"], 86_399);
    Ok(())
}

#[tokio::test]
async fn a_rule_sets_entras_clock_ahead() -> Result<()> {
    let world = World::start().await?;
    let rule = Rule {
        token: Some(TokenChange {
            clock_skew_seconds: Some(7_200),
            ..TokenChange::default()
        }),
        ..Rule::default()
    };
    world.azure.control.add_rule(&rule).await?;
    let answer = world.token(&assertion()?, &[]).await?;
    assert!(answer.text.contains("AADSTS700024"), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn counts_connections() -> Result<()> {
    let world = World::start().await?;
    let control = &world.azure.control;
    for _ in 0..3 {
        world.token(&assertion()?, &[]).await?;
    }
    assert_eq!(control.counters().await?.connections[&Socket::Azure], 1);
    let other = client(&world.azure)?;
    other.get(world.azure.entra_url()).send().await?;
    assert_eq!(control.counters().await?.connections[&Socket::Azure], 2);
    control.forget_requests().await?;
    assert!(control.requests(None).await?.is_empty());
    Ok(())
}
