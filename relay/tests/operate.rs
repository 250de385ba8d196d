//! What whoever watches a running relay is answered.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use subrosa_relay::admin::{SOCKET, ask};
use subrosa_relay::config::{Config, Metrics};
use subrosa_relay::server::{Server, stored_link};

fn config(data: Option<&Path>) -> Config {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config {
        listen: local,
        data: data.map(Path::to_path_buf),
        metrics: Metrics { http: Some(local) },
        ..Config::default()
    }
}

/// Status and body.
fn get(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("listens");
    write!(stream, "{request} HTTP/1.1\r\nHost: relay\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    assert_eq!(length.parse(), Ok(body.len()));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_string())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("does not panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_health_are_served_where_asked_for_and_only_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(config(Some(dir.path()))).await.expect("starts");
    let address = server.figures_address().expect("asked for");
    blocking(move || {
        let (status, page) = get(address, "GET /metrics");
        assert_eq!(status, 200);
        assert!(
            page.contains("\nsubrosa_relay_mailboxes 0\n")
                && page.contains("subrosa_relay_commit_seconds_sum")
        );
        assert_eq!(get(address, "GET /healthz"), (200, "ok\n".into()));
        assert_eq!(get(address, "GET /readyz"), (200, "ready\n".into()));
        assert_eq!(get(address, "GET /secrets").0, 404);
        assert_eq!(get(address, "DELETE /metrics").0, 405);
        assert_eq!(get(address, "nonsense").0, 400);
        assert_eq!(ask::figures_at(address).expect("served").lines().count(), page.lines().count());
    })
    .await;
    let second = Server::start(Config { metrics: Metrics { http: Some(address) }, ..config(None) }).await;
    let why = second.err().expect("taken").to_string();
    assert!(why.contains("[metrics]"), "{why}");
    server.shutdown().await;
    assert!(TcpStream::connect(address).is_err(), "nobody answers for a relay that ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_served_nowhere_unless_asked_for_and_a_relay_in_memory_has_them_too() {
    let none = Server::start(Config { metrics: Metrics::default(), ..config(None) }).await.expect("starts");
    assert_eq!(none.figures_address(), None);
    let server = Server::start(config(None)).await.expect("starts");
    let address = server.figures_address().expect("asked for");
    let page = blocking(move || get(address, "GET /metrics").1).await;
    assert!(page.contains("subrosa_relay_open_connections 0\n") && !page.contains("subrosa_relay_mailboxes"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_the_owners_and_goes_with_the_relay() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().to_path_buf();
    let path = data.join(SOCKET);
    // Left by a relay that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("made"));
    let server = Server::start(config(Some(&data))).await.expect("starts");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    blocking(move || {
        assert!(ask::text(&data, "metrics").expect("answers").contains("subrosa_relay_files 0\n"));
        let unknown = ask::text(&data, "sing").expect_err("refused").to_string();
        assert!(unknown.contains("another version"), "{unknown}");
        assert!(ask::text(&data, &"long ".repeat(1000)).is_err());
        let why = ask::text(&data, "reload").expect_err("refused").to_string();
        assert!(why.contains("without a file of settings"), "{why}");
    })
    .await;
    let end = server.asked_to_end();
    let data = dir.path().to_path_buf();
    blocking(move || ask::text(&data, "drain").expect("answers")).await;
    end.await;
    server.shutdown().await;
    assert!(!path.exists());
    let data = dir.path().to_path_buf();
    let nobody = blocking(move || ask::text(&data, "metrics").expect_err("gone").to_string()).await;
    assert!(nobody.contains("no relay runs on"), "{nobody}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_for_the_link_keeps_no_relay_from_its_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(config(Some(dir.path()))).await.expect("starts");
    let link = server.link().to_string();
    server.shutdown().await;
    std::os::unix::fs::symlink("/dev/full", dir.path().join("link.new")).expect("made");
    // Another port, so another link.
    let server = Server::start(config(Some(dir.path()))).await.expect("starts all the same");
    assert_eq!(stored_link(dir.path()).expect("the last one is whole"), link);
    server.shutdown().await;
}
