//! Connections: accepted up to a number, given up when their caller is too slow.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{Entrance, Service};

/// Serves connections until `draining` turns true; then ends when the last of them has.
pub async fn accept(
    listener: TcpListener,
    entrance: Entrance,
    service: Arc<Service>,
    mut draining: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(service.settings.max_connections));
    let mut connections = JoinSet::new();
    let entrance = Arc::new(entrance);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(service.settings.head_timeout).max_buf_size(64 << 10);
    loop {
        // Callers beyond the last place wait in the system's queue.
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.expect("the places are never closed"),
            () = stopping(&mut draining) => break,
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(cause) => {
                    // Out of file descriptors, mostly: what runs will free some.
                    tracing::warn!(%cause, "can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stopping(&mut draining) => break,
        };
        while connections.try_join_next().is_some() {}
        let _ = stream.set_nodelay(true);
        let entrance = entrance.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let entrance = entrance.clone();
            async move { Ok::<_, Infallible>(entrance.answer(request.map(Body::new)).await) }
        });
        let connection = http.serve_connection(TokioIo::new(stream), answer);
        let mut draining = draining.clone();
        connections.spawn(async move {
            let _place = place;
            tokio::pin!(connection);
            let outcome = tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = stopping(&mut draining) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(cause) = outcome {
                tracing::debug!(%cause, "a connection ended early");
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Completes when the server is asked to stop.
async fn stopping(draining: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to ask, which is the same.
    let _ = draining.wait_for(|draining| *draining).await;
}
