//! `first`: prints `started`, requests a token from IMDS until it has one, and prints `token`. The lines'
//! times in the container's log are the moments that `tests/start` measures. Without
//! `FIRST_TOKEN_FROM=HOST:PORT` it requests none.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() {
    println!("started");
    let Ok(address) = std::env::var("FIRST_TOKEN_FROM") else {
        return;
    };
    while request(&address).is_err() {
        sleep(PAUSE);
    }
    println!("token");
}

fn request(address: &str) -> io::Result<()> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    write!(
        connection,
        "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net HTTP/1.1\r\n\
         Host: {address}\r\nMetadata: true\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let is_token = answer.starts_with("HTTP/1.1 200 ");
    is_token
        .then_some(())
        .ok_or(io::ErrorKind::InvalidData.into())
}
