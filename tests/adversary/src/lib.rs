//! An adversary: sends mutated requests and reviews to the real webhook and proxy for some time, and
//! checks what must hold whatever is sent.
//!
//! - [`request`], [`review`] and [`json`] mutate; [`script`] sends what they made.
//! - [`answer`] checks the bytes of each connection, [`program`] the process and its log, [`honest`] that
//!   an ordinary client is served meanwhile.
//! - [`imds`] and [`cluster`] stand in for the node's IMDS and the API server.
//! - [`limit`] gives each program the memory of its container.
//! - [`attack`] has them all work at the same time, [`world`] starts the programs.

pub mod answer;
pub mod arguments;
pub mod attack;
pub mod cluster;
pub mod honest;
pub mod imds;
pub mod json;
pub mod limit;
pub mod program;
pub mod request;
pub mod review;
pub mod script;
pub mod world;

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

/// Serves on a free port of 127.0.0.1, and ends with the runtime.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
