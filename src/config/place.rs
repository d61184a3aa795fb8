//! Where the data is: what can be known before anything is made there.

use super::{ConfigError, Environment, Reader, data_dir, environment, read_database_url, read_environment};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;

/// The database's address and the folder for what this machine keeps.
#[derive(Debug)]
pub struct Place {
    /// `DATABASE_URL`
    pub database_url: SecretString,
    /// As [`super::Config::data_dir`].
    pub data_dir: PathBuf,
}

impl Place {
    /// From what [`super::Config::from_env`] reads. It makes no secrets and no folder.
    ///
    /// # Errors
    /// [`ConfigError`] if `DATABASE_URL` or the environment's name cannot be used.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (vars, mistakes) = environment();
        let mut reader = Reader::new(&vars, mistakes);
        let production = read_environment(&mut reader) == Environment::Production;
        let database_url = read_database_url(&mut reader, production);
        if reader.mistakes.is_empty() {
            let data_dir = data_dir(database_url.expose_secret());
            Ok(Self { database_url, data_dir })
        } else {
            Err(ConfigError(reader.mistakes))
        }
    }
}
