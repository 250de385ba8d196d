//! Plain HTTP for whoever watches a relay: `/metrics`, `/healthz`, `/readyz`, and nothing else.

use super::Front;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Who asks at a time; others wait in the system's queue.
const ASKERS: usize = 16;

/// The longest head of a request.
const HEAD_MAX: usize = 8 * 1024;

/// How long one question may take, its answer read included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Listens.
///
/// # Errors
/// Those of the system.
pub(crate) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, front: Arc<Front>) {
    let seats = Arc::new(Semaphore::new(ASKERS));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            // 1. Forget who has gone.
            Some(_) = tasks.join_next() => {}
            // 2. Somebody asks.
            (seat, accepted) = async { (seats.clone().acquire_owned().await, listener.accept().await) } => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors: the next one may find one.
                    tokio::task::yield_now().await;
                    continue;
                };
                let front = front.clone();
                tasks.spawn(async move {
                    // Who does not read or write in time is let go.
                    let _ = timeout(PATIENCE, answer(stream, &front)).await;
                    drop(seat);
                });
            }
        }
    }
}

async fn answer(mut stream: TcpStream, front: &Front) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut piece).await?;
        if count == 0 || head.len() + count > HEAD_MAX {
            break;
        }
        head.extend_from_slice(&piece[..count]);
    }
    let (asked, wants) = asked(&head);
    let (status, kind, body) = match asked {
        Asked::Page("/metrics") => match front.page().await {
            Some(page) => ("200 OK", PROMETHEUS, page),
            None => ("503 Service Unavailable", TEXT, "the relay cannot be asked just now\n".into()),
        },
        Asked::Page("/healthz") => match front.admin() {
            // Before there is a relay this program is as well as it can be.
            None => ("200 OK", TEXT, "ok\n".into()),
            Some(admin) => match admin.within(|_| ()).await {
                Some(()) => ("200 OK", TEXT, "ok\n".into()),
                None => ("503 Service Unavailable", TEXT, "the relay does not answer\n".into()),
            },
        },
        Asked::Page("/readyz") => match front.ready() {
            Ok(()) => ("200 OK", TEXT, "ready\n".into()),
            Err(why) => ("503 Service Unavailable", TEXT, format!("{why}\n")),
        },
        Asked::Page(_) => ("404 Not Found", TEXT, "there are /metrics, /healthz and /readyz\n".into()),
        Asked::Change => ("405 Method Not Allowed", TEXT, "this only answers GET and HEAD\n".into()),
        Asked::Nonsense => ("400 Bad Request", TEXT, "this is not HTTP/1.1\n".into()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if wants == Wants::Page {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    /// This page, without what stands behind `?`.
    Page(&'a str),
    /// Something other than to read.
    Change,
    Nonsense,
}

/// Whether the page itself is wanted, or what stands above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Page,
    Head,
}

fn asked(head: &[u8]) -> (Asked<'_>, Wants) {
    let line = head.split(|byte| *byte == b'\r').next().and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(page), Some(version), None) if version.starts_with("HTTP/1.") => {
            let page = page.split('?').next().unwrap_or(page);
            match method {
                "GET" => (Asked::Page(page), Wants::Page),
                "HEAD" => (Asked::Page(page), Wants::Head),
                _ => (Asked::Change, Wants::Page),
            }
        }
        _ => (Asked::Nonsense, Wants::Page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::health::Stage;

    #[test]
    fn only_pages_are_read() {
        let metrics = Asked::Page("/metrics");
        assert_eq!(asked(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), (metrics, Wants::Page));
        assert_eq!(asked(b"HEAD /readyz HTTP/1.1\r\n\r\n"), (Asked::Page("/readyz"), Wants::Head));
        assert_eq!(asked(b"POST /metrics HTTP/1.1\r\n\r\n").0, Asked::Change);
        for junk in
            [&b""[..], b"GET", b"GET /metrics", b"GET / HTTP/2\r\n", b"GET / x HTTP/1.1\r\n", b"\xff\xfe"]
        {
            assert_eq!(asked(junk).0, Asked::Nonsense, "{junk:?}");
        }
    }

    /// The whole answer of a relay that is that far.
    async fn answers(front: &Arc<Front>, request: &str) -> String {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(serve(listener, front.clone()));
        let mut stream = TcpStream::connect(address).await.expect("listens");
        stream.write_all(format!("{request} HTTP/1.1\r\n\r\n").as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        serving.abort();
        answer
    }

    #[tokio::test]
    async fn a_relay_is_ready_between_its_start_and_its_end_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let front = Front::new(Some(dir.path()));
        for (stage, status, word) in [
            (Stage::Starting, "503", "starting"),
            (Stage::Running, "200", "ready"),
            (Stage::Draining, "503", "draining"),
        ] {
            front.health.reach(stage);
            let answer = answers(&front, "GET /readyz").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(word), "{answer}");
            let head = answers(&front, "HEAD /readyz").await;
            assert!(answer.starts_with(&head) && head.ends_with("\r\n\r\n"), "{head}");
        }
    }
}
