//! The mutating admission webhook: gives labelled pods a federated token, the variables of their
//! identity and, on request, the sidecar that stands in for IMDS.
//!
//! # Map
//!
//! Each module knows only those below it.
//!
//! | module | subject |
//! |---|---|
//! | [`app`] | opens the ports (`bind`), puts the parts together and runs them (`Bound::run`) |
//! | [`settings`] | command line and environment; reports every mistake at once |
//! | [`operations`] | `/healthz`, `/readyz`, `/metrics` |
//! | [`http`] | routes on the listener of `service-kit`, which has every limit of connections |
//! | [`admission`] | `POST /mutate-v1-pod`: one review in, one answer out; errors become status codes here |
//! | [`proxy_ca`] | the certificate authorities that proxies get, from a file |
//! | [`certificate`] | the serving certificate: what to do (`plan`), doing it (`keeper`), or files |
//! | [`accounts`] | service accounts from a watch, and from one look-up each where it is behind |
//! | [`api_server`] | the client of the API server: bounds the memory of its answers and the rate of watches |
//! | [`part`] | objects of the API server of which a few fields are read |
//! | [`reason`] | messages of the API server and of libraries, bounded for logs and answers |
//! | `memory` | the memory that clients of a port share: the slowest makes way |
//! | [`version`] | features that depend on the API server's version |
//! | [`inject`] | the additions to a pod: plain values in, a patch or a [`Denial`](inject::Denial) out; no I/O |
//!
//! # Where each law is kept
//!
//! - *The webhook only adds*: [`inject`] reads a borrowed view of the pod and writes `add` operations, and
//!   `replace` and `move` for what an earlier run added; `tests/webhook/patch_properties.rs` tests it with
//!   generated pods.
//! - *An injected pod never gets the node's identity*: [`inject`] puts the init container of the
//!   redirect first, moves it there again, and refuses pods that would get past it.
//! - *An admission costs no API call*: [`accounts`] answers from memory.
//! - *Every failure states what to do*: [`inject::Denial`], the warnings of [`inject`], the mistakes of
//!   [`settings`], and [`certificate::keeper::KeeperError`].
//! - *No secret leaves*: the authority's key is in its Secret and in memory ([`certificate`]); core
//!   dumps are off ([`app::run`]).

pub mod accounts;
pub mod admission;
pub mod api_server;
pub mod app;
pub mod certificate;
pub mod http;
pub mod inject;
pub mod operations;
pub mod part;
pub mod proxy_ca;
pub mod reason;
pub mod settings;
pub mod version;

mod memory;
