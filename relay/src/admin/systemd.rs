//! Tells systemd how far the relay is, for a unit of `Type=notify`.

use std::io;

/// What systemd is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It takes what comes.
    Ready,
    /// It ends.
    Stopping,
}

/// Says it when there is somebody to say it to; elsewhere nothing happens.
///
/// # Errors
/// Those of the socket.
pub fn tell(told: Told) -> io::Result<()> {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    say(&socket, told)
}

#[cfg(unix)]
fn say(socket: &std::ffi::OsStr, told: Told) -> io::Result<()> {
    use std::os::unix::net::UnixDatagram;
    let text: &[u8] = match told {
        Told::Ready => b"READY=1\nSTATUS=running\n",
        Told::Stopping => b"STOPPING=1\nSTATUS=draining\n",
    };
    let from = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(socket).strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return from.send_to_addr(text, &address).map(|_| ());
    }
    from.send_to(text, socket).map(|_| ())
}

#[cfg(not(unix))]
fn say(_: &std::ffi::OsStr, _: Told) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn systemd_hears_it_by_path_and_by_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("notify");
        let hears = UnixDatagram::bind(&path).expect("bound");
        let mut text = [0; 64];
        say(path.as_os_str(), Told::Ready).expect("sent");
        let length = hears.recv(&mut text).expect("there");
        assert!(text[..length].starts_with(b"READY=1\n"));
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let name = format!("subrosa-test-{}", std::process::id());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
            let hears = UnixDatagram::bind_addr(&address).expect("bound");
            say(format!("@{name}").as_ref(), Told::Stopping).expect("sent");
            let length = hears.recv(&mut text).expect("there");
            assert!(text[..length].starts_with(b"STOPPING=1\n"));
        }
    }
}
