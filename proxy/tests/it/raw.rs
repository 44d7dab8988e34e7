//! HTTP over a bare socket, to see every byte.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sidecar::DEADLINE;

/// An answer, byte by byte.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// From the status line to the empty line.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header. Fails if the header is there twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice in {}", self.head);
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A string of the JSON body.
    pub(crate) fn text(&self, name: &str) -> String {
        self.json()[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {self:?}"))
            .to_owned()
    }

    /// The whole answer without its date, as the golden files have it.
    pub(crate) fn golden(&self) -> String {
        let head = self.head.lines().filter(|line| !line.starts_with("date: "));
        format!("{}\n\n{}\n", head.collect::<Vec<_>>().join("\n"), self.body)
    }
}

/// Sends a head, asks for the connection to be closed, and reads the answer.
pub(crate) async fn exchange(address: SocketAddr, head: &str) -> Answer {
    let all = send(
        address,
        format!("{head}Connection: close\r\n\r\n").as_bytes(),
    )
    .await;
    parse(&all)
}

/// Sends bytes, and reads until the other side closes.
pub(crate) async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_to_end(&mut stream).await
}

/// Reads until the other side closes.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut all))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(all).unwrap()
}

/// Reads one answer with a Content-Length, and leaves the connection open.
pub(crate) async fn read_one(stream: &mut TcpStream) -> Answer {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let answer = parse(&format!("{head}\r\n\r\n{body}"));
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            if body.len() >= length {
                assert_eq!(body.len(), length, "more than one answer");
                return answer;
            }
        }
        let mut chunk = [0; 4096];
        let count = timeout(DEADLINE, stream.read(&mut chunk))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(count, 0, "closed after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&chunk[..count]);
    }
}

pub(crate) fn parse(all: &str) -> Answer {
    let (head, body) = all
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {all:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
