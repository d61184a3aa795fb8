//! A private PostgreSQL server: started in a temporary folder, and gone with the test process, however
//! that ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the server promises about a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing survives a power cut: for tests that never cut it. Twice as fast.
    Fast,
    /// As in production: for tests that kill the server.
    Full,
}

/// A server with its data. Dropped, it is stopped and its data removed.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    durability: Durability,
    server: Mutex<Option<Child>>,
    /// Removes everything when its standard input closes, which is when this process ends.
    watchdog: Child,
}

const USER: &str = "checkout";
/// For a busy machine, which also has the last server's data to bring in order.
const PATIENCE: Duration = Duration::from_secs(180);

impl Cluster {
    /// Makes a new server and waits until it answers.
    pub(crate) fn start(durability: Durability) -> Self {
        let folder = tempfile::Builder::new().prefix("checkout-postgres-").tempdir().unwrap().keep();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
        let owner = owner();
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let data = folder.join("data");
        // What a server for people sorts by, so that nothing leans on the order of bytes.
        let sorts: &[&str] = if is_before_15() {
            &["--locale=C.UTF-8"]
        } else {
            &["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        };
        let made = program("initdb")
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--username", USER])
            .args(sorts)
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap_or_else(|error| panic!("cannot run initdb ({error}): {INSTALL}"));
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let watchdog = program("sh")
            .arg("-c")
            .arg(
                "read -r _; \"$1\" stop --silent --mode=immediate --pgdata \"$2/data\" >/dev/null 2>&1; \
                 rm -rf \"$2\"",
            )
            .arg("watchdog")
            .arg(binary("pg_ctl"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { folder, port, durability, server: Mutex::new(None), watchdog };
        cluster.restart();
        cluster
    }

    /// `postgres://user@host:port`, to be followed by `/` and a database's name.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}", self.port)
    }

    /// Starts the server again after [`Cluster::kill`], on the same port and data.
    ///
    /// # Panics
    /// If it does not answer within three minutes.
    pub(crate) fn restart(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(server.is_none(), "the server is running");
        loop {
            let mut child = self.launch();
            match self.wait_until_it_answers(&mut child, deadline) {
                Ok(()) => {
                    *server = Some(child);
                    return;
                }
                // Children of a killed server may still hold its memory for a moment.
                Err(log) => assert!(Instant::now() < deadline, "PostgreSQL does not start:\n{log}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the server as a power cut would: no warning, nothing flushed, connections cut.
    pub(crate) fn kill(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    fn launch(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let fast = self.durability == Durability::Fast;
        let mut command = program("postgres");
        command.arg("-D").arg(self.folder.join("data"));
        let settings = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("unix_socket_directories", &self.folder.display().to_string()),
            ("max_connections", "200"),
            ("shared_buffers", "64MB"),
            ("fsync", if fast { "off" } else { "on" }),
            ("full_page_writes", if fast { "off" } else { "on" }),
            ("log_min_messages", "fatal"),
            ("log_min_error_statement", "panic"),
        ];
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    fn wait_until_it_answers(&self, child: &mut Child, deadline: Instant) -> Result<(), String> {
        while !answers(self.port) {
            if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let mut log = String::new();
                std::fs::File::open(self.log()).unwrap().read_to_string(&mut log).unwrap();
                return Err(log);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        if let Some(server) = self.server.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let _ = server.wait();
        }
    }
}

/// Whether a server says of itself that it takes connections: to a request for encryption it answers, yes or no,
/// also while it starts, so it is asked for a session, and whether it refuses that.
fn answers(port: u16) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(3)))?;
        let parameters = format!("user\0{USER}\0database\0postgres\0\0");
        let length = u32::try_from(8 + parameters.len()).unwrap();
        // Version 3.0 of the protocol.
        connection.write_all(
            &[&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), parameters.as_bytes()].concat(),
        )?;
        let mut first = [0];
        connection.read_exact(&mut first)?;
        // R: the sign-in goes on. E: an error, as "the database system is starting up".
        Ok(first == *b"R")
    };
    asked().unwrap_or(false)
}

/// Whether the server is one that cannot sort by ICU as a whole.
fn is_before_15() -> bool {
    let said = Command::new(binary("postgres")).arg("--version").output();
    let said = said.unwrap_or_else(|error| panic!("cannot run postgres ({error}): {INSTALL}")).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = said.split_whitespace().rev().find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    version.unwrap_or_else(|| panic!("{said}")) < 15
}

const INSTALL: &str = "the tests need PostgreSQL's server programs, 14 or newer: `./test` installs them on \
                       Debian and Ubuntu (package postgresql), elsewhere install them by hand, or give the \
                       address of a server as TEST_POSTGRES_URL=postgres://user@host:port";

/// A command out of the terminal's reach, so that Ctrl-C ends the tests first, and then what they started.
/// PostgreSQL refuses to run as root: then it is another user's.
fn program(name: &str) -> Command {
    let mut command = Command::new(if name == "sh" { PathBuf::from(name) } else { binary(name) });
    command.process_group(0).current_dir("/");
    if let Some((uid, gid)) = owner() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Where one of PostgreSQL's programs is: in the folder of `TEST_POSTGRES_BIN`, else the newest that a distribution has installed, or in the `PATH`.
fn binary(name: &str) -> PathBuf {
    if let Some(folder) = environment("TEST_POSTGRES_BIN") {
        return PathBuf::from(folder).join(name);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin").join(name)))
        })
        .filter(|(_, path)| path.exists())
        .max();
    installed.map_or_else(|| PathBuf::from(name), |(_, path)| path)
}

/// Whom the server runs as: none means as ourselves.
pub(crate) fn owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let user = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    user("postgres").or_else(|| user("nobody"))
}

/// A setting of the tests themselves.
#[expect(clippy::disallowed_methods, reason = "the tests' own settings are no configuration of the program")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
