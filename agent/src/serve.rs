//! `/healthz` and `/metrics` over plain HTTP, for kubelet and Prometheus.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What a process reports about itself.
pub trait Vitals: Send + Sync + 'static {
    /// Whether it works; if not, the kubelet restarts it.
    fn healthy(&self) -> bool;
    /// Its metrics, in Prometheus' text format.
    fn metrics(&self) -> String;
}

/// How many connections are served at once; others wait.
const CONNECTIONS: usize = 16;
/// How long a client may take to send a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves requests until it is dropped.
///
/// # Errors
/// If nothing can listen on `address`.
pub async fn serve(address: SocketAddr, vitals: Arc<impl Vitals>) -> std::io::Result<Infallible> {
    let listener = TcpListener::bind(address).await?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { continue };
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely out of file descriptors, which other connections free.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let vitals = vitals.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, vitals.as_ref());
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // A client that hangs up early is no failure.
            let _ = connection.await;
            drop(slot);
        });
    }
}

fn answer(request: &Request<Incoming>, vitals: &impl Vitals) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") if vitals.healthy() => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET, "/healthz") => (StatusCode::INTERNAL_SERVER_ERROR, "stuck\n".to_owned()),
        (&Method::GET, "/metrics") => (StatusCode::OK, vitals.metrics()),
        _ => (StatusCode::NOT_FOUND, "there is /healthz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

/// A counter in Prometheus' text format.
#[must_use]
pub fn counter(name: &str, help: &str, value: &AtomicU64) -> String {
    metric("counter", name, help, value.load(Ordering::Relaxed))
}

/// A gauge in Prometheus' text format; for a boolean, `value` is 1 or 0.
#[must_use]
pub fn gauge(name: &str, help: &str, value: impl Display) -> String {
    metric("gauge", name, help, value)
}

fn metric(kind: &str, name: &str, help: &str, value: impl Display) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    struct Sick(AtomicBool);

    impl Vitals for Sick {
        fn healthy(&self) -> bool {
            !self.0.load(Ordering::Relaxed)
        }

        fn metrics(&self) -> String {
            counter("x_total", "Things.", &AtomicU64::new(3))
        }
    }

    async fn ask(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_and_metrics_are_served_and_nothing_else() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let vitals = Arc::new(Sick(AtomicBool::new(false)));
        tokio::spawn(serve(address, vitals.clone()));
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200"));
        vitals.0.store(true, Ordering::Relaxed);
        assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 500"));
        assert!(ask(address, "GET /metrics").await.ends_with("\nx_total 3\n"));
        assert!(ask(address, "GET /").await.starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 404"));
    }
}
