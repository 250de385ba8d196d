//! The asking side of the socket in a relay's data folder.

use super::SOCKET;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why there is no answer: a sentence with the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is there.
    #[error("no relay runs on {0}; start one with `subrosa-relay run`, or name its folder with --data")]
    Nobody(PathBuf),
    /// The socket is somebody else's.
    #[error("{0} belongs to another user; ask as the relay's own user, or as root")]
    NotOurs(PathBuf),
    /// The relay refused.
    #[error("{0}")]
    Refused(String),
    /// The connection broke, or there are no such sockets here.
    #[error("the relay did not answer: {0}")]
    Broken(io::Error),
    /// No figures there.
    #[error(
        "{address}: {why}; it is what a running relay has as `http` under [metrics]; without --metrics its data folder is asked"
    )]
    Unserved {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
}

impl From<io::Error> for Error {
    fn from(why: io::Error) -> Self {
        Self::Broken(why)
    }
}

/// Longer than anything that the relay does before it begins to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest line that says how it went.
const LINE_MAX: u64 = 64;

/// Asks the relay that runs on a folder; what comes back is the answer, to be read to its end.
///
/// # Errors
/// [`Error`].
pub fn ask(data: &Path, question: &str) -> Result<Box<dyn BufRead>, Error> {
    let mut stream = connect(data)?;
    writeln!(stream, "{question}")?;
    let mut answer: Box<dyn BufRead> = Box::new(BufReader::new(stream));
    let mut line = String::new();
    answer.by_ref().take(LINE_MAX).read_line(&mut line)?;
    match line.as_str() {
        "ok\n" => Ok(answer),
        "error\n" => {
            let mut why = String::new();
            answer.take(TEXT_MAX).read_to_string(&mut why)?;
            Err(Error::Refused(why.trim().to_string()))
        }
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// The same for an answer that is a text.
///
/// # Errors
/// [`Error`].
pub fn text(data: &Path, question: &str) -> Result<String, Error> {
    let mut text = String::new();
    ask(data, question)?.take(TEXT_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The longest answer that is a text.
const TEXT_MAX: u64 = 4 << 20;

#[cfg(unix)]
fn connect(data: &Path) -> Result<std::os::unix::net::UnixStream, Error> {
    let path = data.join(SOCKET);
    let stream = std::os::unix::net::UnixStream::connect(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::Nobody(data.to_path_buf()),
        io::ErrorKind::PermissionDenied => Error::NotOurs(path),
        _ => error.into(),
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(not(unix))]
fn connect(_: &Path) -> Result<TcpStream, Error> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no sockets in folders").into())
}

/// The figures that a relay serves by HTTP there.
///
/// # Errors
/// [`Error`].
pub fn figures_at(address: SocketAddr) -> Result<String, Error> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .map_err(|why| Error::Unserved { address, why })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(TEXT_MAX).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_string()),
        Some((_, body)) => Err(Error::Refused(body.trim().to_string())),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}
