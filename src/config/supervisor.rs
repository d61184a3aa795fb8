//! Who started the program and wants to know when it is ready: systemd, with `Type=notify`.

use std::os::unix::net::UnixDatagram;

/// Tells it, if it asked for that. What it is told: `READY=1`, `STOPPING=1`.
///
/// # Errors
/// If its socket cannot be written to.
#[expect(clippy::disallowed_methods, reason = "this module is part of the environment's home")]
pub fn tell(state: &str) -> std::io::Result<()> {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return Ok(());
    };
    let datagram = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return datagram.send_to_addr(state.as_bytes(), &address).map(drop);
    }
    datagram.send_to(state.as_bytes(), socket).map(drop)
}
