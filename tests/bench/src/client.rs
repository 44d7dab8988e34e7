//! A minimal HTTP/1.1 client: one request, one whole answer, over any stream.

use std::io::{self, ErrorKind, Read, Write};

/// The most headers that an answer may have.
const MOST_HEADERS: usize = 64;

/// One answer, byte for byte.
#[derive(Debug)]
pub struct Answer {
    /// From the status line to the body's last byte.
    pub bytes: Vec<u8>,
    /// The status code.
    pub status: u16,
}

impl Answer {
    /// The answer when it is the expected one.
    ///
    /// # Errors
    ///
    /// When the status is not 200; the message has the answer.
    pub fn ok(self) -> io::Result<Self> {
        if self.status == 200 {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.bytes);
        Err(io::Error::other(format!("expected status 200:\n{text}")))
    }
}

/// A GET request for `target` with these header lines, each ending in `\r\n`.
pub fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

/// A POST request for `target` with this JSON.
pub fn post(target: &str, json: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: {}\r\n\r\n",
        json.len()
    )
    .into_bytes();
    request.extend(json);
    request
}

/// Sends a request and waits for the whole answer.
///
/// # Errors
///
/// When the stream fails, or its bytes are no HTTP response.
pub fn ask(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut inbox = Inbox::default();
    loop {
        if let Some(answer) = inbox.receive(stream)? {
            return Ok(answer);
        }
    }
}

/// The bytes of an incomplete answer.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Reads once, and returns the answer when this was its end.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the stream has nothing yet. Otherwise when the stream fails, or its bytes are no
    /// HTTP response.
    pub fn receive(&mut self, stream: &mut impl Read) -> io::Result<Option<Answer>> {
        let mut piece = [0; 16_384];
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.bytes.extend(piece.iter().take(length));
        Ok(whole(&self.bytes)?.map(|status| Answer {
            bytes: std::mem::take(&mut self.bytes),
            status,
        }))
    }
}

/// The status code, when these are the bytes of a whole answer.
fn whole(bytes: &[u8]) -> io::Result<Option<u16>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let head = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
    };
    let body = bytes.get(head..).unwrap_or_default();
    let is_whole = match header(&answer, "content-length") {
        Some(length) => {
            let length: usize = str::from_utf8(length)
                .ok()
                .and_then(|length| length.parse().ok())
                .ok_or(ErrorKind::InvalidData)?;
            body.len() >= length
        }
        // None of the servers sends trailers.
        None if header(&answer, "transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the answer has no length",
            ));
        }
    };
    Ok(answer.code.filter(|_| is_whole))
}

fn header<'a>(answer: &httparse::Response<'_, 'a>, name: &str) -> Option<&'a [u8]> {
    answer
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that gives its bytes one at a time.
    struct Trickle(io::Cursor<&'static [u8]>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    impl Write for Trickle {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn trickled(bytes: &'static [u8]) -> io::Result<Answer> {
        ask(&mut Trickle(io::Cursor::new(bytes)), b"")
    }

    #[test]
    fn an_answer_ends_with_its_length() {
        let answer = trickled(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP").unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.bytes.ends_with(b"\r\n\r\nabc"));
    }

    #[test]
    fn an_answer_in_chunks_ends_with_the_empty_one() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert_eq!(trickled(answer).unwrap().bytes, answer);
    }

    #[test]
    fn a_refusal_is_an_error_with_its_text() {
        let answer = trickled(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno").unwrap();
        let error = answer.ok().unwrap_err().to_string();
        assert!(error.ends_with("\r\n\r\nno"), "{error}");
    }

    #[test]
    fn an_end_in_the_middle_is_an_error() {
        let error = trickled(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
