//! Secrets that development makes for itself and keeps beside the database, so that nothing need be
//! configured and sessions survive a restart.

use secrecy::SecretString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// The secret in `folder`'s file `name`; made from the system's random source the first time.
/// Only the file's owner can read it.
pub(super) fn load_or_make(folder: &Path, name: &str, prefix: &str) -> io::Result<SecretString> {
    let path = folder.join(name);
    if let Some(kept) = read(&path)? {
        return Ok(kept);
    }
    let mut private = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    private.recursive(true).create(folder)?;
    let made = format!("{prefix}{}", hex::encode(rand::random::<[u8; 32]>()));
    // Written aside and linked into place: two processes that start together agree on the first
    // one's, and nobody ever reads half a secret.
    let aside = folder.join(format!(".{name}.{}", std::process::id()));
    write_private(&aside, &made)?;
    let linked = std::fs::hard_link(&aside, &path);
    std::fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read(&path)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn read(path: &Path) -> io::Result<Option<SecretString>> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() < 32 => {
            Err(io::Error::other("is damaged; remove it, and a new one is made"))
        }
        Ok(text) => Ok(Some(SecretString::from(text.trim().to_owned()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
