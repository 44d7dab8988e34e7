//! The refusal of HTTP/2 that a client speaks without asking. hyper closes such a connection without
//! a word; clients of IMDS want JSON whatever happens (IMDS R7).

use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::unreadable::told;

/// How such a connection begins (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Answers in HTTP/1.1, which the client can tell from HTTP/2, and ends the connection.
pub(super) async fn refuse(mut stream: TcpStream) {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let bare = format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\n\r\n"
    );
    let refused = async {
        stream.write_all(&told(bare.as_bytes())).await?;
        stream.shutdown().await?;
        // What is left unread would reset the connection, answer and all.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whether the client reads it is its own matter.
    let _ = timeout(PATIENCE, refused).await;
}

/// How long the client may go on sending.
const PATIENCE: Duration = Duration::from_secs(1);
