//! [`Entrance`]: the way in of every request: who may ask, what stands before the routes, the routes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::response::Response;
use futures::future::BoxFuture;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::predictions::{self, Dialect};
use super::{Service, guard};

/// Where a request comes in, with or without a socket.
pub(crate) struct Entrance {
    service: Arc<Service>,
    front: Option<Box<dyn Front>>,
    routes: Routes,
}

/// What a request meets before the server's own routes.
pub(crate) trait Front: Send + Sync {
    /// Answers, or has the `routes` answer.
    fn answer<'a>(&'a self, routes: &'a Routes, request: Request<Body>) -> BoxFuture<'a, Response>;
}

/// The server's own routes.
pub(crate) struct Routes {
    /// Whose predictions are answered before the router is asked.
    service: Option<Arc<Service>>,
    router: TowerToHyperService<Router>,
}

impl Entrance {
    pub fn new(service: Arc<Service>, front: Option<Box<dyn Front>>) -> Self {
        let router = super::routes::router(service.clone());
        let routes = Routes { service: Some(service.clone()), router: TowerToHyperService::new(router) };
        Self { service, front, routes }
    }

    pub async fn answer(&self, request: Request<Body>) -> Response {
        if let Some(refusal) = guard::check(&self.service, &request) {
            return refusal;
        }
        match &self.front {
            Some(front) => front.answer(&self.routes, request).await,
            None => self.routes.answer(request).await,
        }
    }
}

impl Routes {
    pub async fn answer(&self, request: Request<Body>) -> Response {
        // Nearly every request is one of these, and the layers of a router take as long as a small model.
        if let Some(service) = &self.service
            && request.method() == Method::POST
            && let Some(dialect) = dialect(service, request.uri().path())
        {
            return predictions::answer(service, &service.first, dialect, request).await;
        }
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// How a path for predictions of the first model is spoken to.
fn dialect(service: &Service, path: &str) -> Option<Dialect> {
    match path {
        "/predictions" => Some(Dialect::Own),
        "/invocations" => Some(Dialect::SageMaker),
        path if service.settings.predict_route.as_deref() == Some(path) => Some(Dialect::Own),
        _ => None,
    }
}

#[cfg(test)]
impl From<Router> for Routes {
    /// Routes of a test's own.
    fn from(router: Router) -> Self {
        Self { service: None, router: TowerToHyperService::new(router) }
    }
}
