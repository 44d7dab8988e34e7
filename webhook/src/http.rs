//! Routes on a listener of the service kit.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use hyper::service::Service as _;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use service_kit::listener::{RequestBody, Service};

/// Routes as a listener's service.
#[derive(Debug)]
pub struct Routes(TowerToHyperService<Router>);

impl Routes {
    /// Answers with this router.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self(TowerToHyperService::new(router))
    }
}

impl Service for Routes {
    type Body = Body;

    async fn answer(&self, request: Request<RequestBody>, _: SocketAddr) -> Response<Body> {
        match self.0.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
