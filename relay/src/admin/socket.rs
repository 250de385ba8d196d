//! The relay's side of the socket in its data folder: one question a connection, for the owner alone.
//!
//! A question is a line; the answer is a line that says `ok` or `error`, and what belongs to it, to the end.
//! The socket is closed to everybody but the relay's own user (0600), and who comes is asked who they are
//! too: between the making of a socket and its closing there is a moment.

use super::{Admin, Front, SOCKET};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The longest question.
pub(crate) const QUESTION_MAX: usize = 1024;

/// Who asks at a time.
const ASKERS: usize = 16;

/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket.
pub(crate) struct Door {
    listener: UnixListener,
    owner: u32,
}

impl Door {
    /// Makes it. The caller has the store's lock, so what is there is left from a relay that is gone.
    pub(crate) fn make(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let owner = fs::symlink_metadata(&path)?.uid();
        Ok(Self { listener, owner })
    }
}

/// Answers until it is dropped.
pub(crate) async fn serve(door: Door, front: Arc<Front>) {
    let seats = Arc::new(Semaphore::new(ASKERS));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            // 1. Forget who has gone.
            Some(_) = tasks.join_next() => {}
            // 2. The owner asks.
            (seat, accepted) = async { (seats.clone().acquire_owned().await, door.listener.accept().await) } => {
                let Ok((stream, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let theirs = stream.peer_cred().is_ok_and(|peer| peer.uid() == door.owner || peer.uid() == 0);
                if !theirs {
                    continue;
                }
                let front = front.clone();
                tasks.spawn(async move {
                    // Who asked may have gone.
                    let _ = answer(stream, &front).await;
                    drop(seat);
                });
            }
        }
    }
}

async fn answer(mut stream: UnixStream, front: &Front) -> io::Result<()> {
    let question = timeout(PATIENCE, read(&mut stream)).await??;
    let mut words = question.split_whitespace();
    let said = match (words.next(), front.admin()) {
        (_, None) => Err("the relay is starting: try again".into()),
        (Some("backup"), Some(admin)) => return hand_out(&mut stream, admin).await,
        (Some("metrics"), _) => front.page().await.ok_or_else(|| "the relay does not answer".to_string()),
        (Some("reload"), Some(admin)) => {
            admin.reload().await.inspect(|said| tracing::info!("settings read again: {}", said.trim()))
        }
        (Some("invite"), Some(admin)) => admin.invites(&words.collect::<Vec<_>>()).await,
        (Some("drain"), Some(admin)) => {
            admin.end.send_replace(true);
            Ok("draining\n".into())
        }
        _ => {
            Err("this relay does not know that question: it is of another version than the one who asks"
                .into())
        }
    };
    let text = match said {
        Ok(text) => format!("ok\n{text}"),
        Err(why) => format!("error\n{why}\n"),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// A backup, piece by piece.
async fn hand_out(stream: &mut UnixStream, admin: &Admin) -> io::Result<()> {
    match admin.backup() {
        Ok(mut pieces) => {
            stream.write_all(b"ok\n").await?;
            while let Some(piece) = pieces.recv().await {
                stream.write_all(&piece).await?;
            }
        }
        Err(why) => stream.write_all(format!("error\n{why}\n").as_bytes()).await?,
    }
    stream.shutdown().await
}

async fn read(stream: &mut UnixStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 256];
    loop {
        let count = stream.read(&mut piece).await?;
        bytes.extend_from_slice(&piece[..count]);
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            bytes.truncate(end);
            return String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        if count == 0 || bytes.len() > QUESTION_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ask;

    #[tokio::test]
    async fn who_asks_a_relay_that_starts_is_told_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let door = Door::make(dir.path()).expect("made");
        let serving = tokio::spawn(serve(door, Front::new(None)));
        for question in ["metrics", "reload", "invite list", "drain", "backup"] {
            let data = dir.path().to_path_buf();
            let asked = tokio::task::spawn_blocking(move || ask::text(&data, question)).await;
            let why = asked.expect("does not panic").expect_err("refused").to_string();
            assert!(why.contains("starting") && why.contains("try again"), "{question}: {why}");
        }
        serving.abort();
    }
}
