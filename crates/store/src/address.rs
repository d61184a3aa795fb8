//! `DATABASE_URL` for PostgreSQL, taken apart: one address for each host, and what cannot be read told exactly,
//! without a password in it.

use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;

/// The most hosts that are tried in order.
const MAX_HOSTS: usize = 8;
/// Characters that end a part of an address unless they are written otherwise.
const ENDS: [(char, &str); 3] = [('#', "%23"), ('/', "%2F"), ('?', "%3F")];

/// One address for each host that `url` names, in its order, all with the same user, password and database.
///
/// # Errors
/// What is wrong with it and how to write it, in one line that holds no part of the password.
pub fn servers(url: &str) -> Result<Vec<PgConnectOptions>, String> {
    let (scheme, rest) = url.split_once("://").ok_or("give postgres://user:password@host/database")?;
    not_cut_short(rest)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    percent_is_whole(&user)?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    // libpq's own, which choose among the hosts: the one that takes writes is looked for in any case.
    let query: Vec<&str> = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("target_session_attrs="))
        .collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > MAX_HOSTS {
        return Err(format!("names more than {MAX_HOSTS} hosts"));
    }
    hosts.iter().map(|host| server(scheme, &user, host.trim(), path, &query)).collect()
}

fn server(scheme: &str, user: &str, host: &str, path: &str, query: &str) -> Result<PgConnectOptions, String> {
    host_and_port(host)?;
    let options = PgConnectOptions::from_str(&format!("{scheme}://{user}{host}{path}{query}"))
        .map_err(|error| without_prefix(&error.to_string()))?;
    // The name that is looked up has no brackets.
    let bare =
        options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    Ok(match bare {
        Some(bare) => options.host(&bare),
        None => options,
    })
}

/// A `#`, `/` or `?` in a password ends the address there: what stands before is no host and no port then.
fn not_cut_short(rest: &str) -> Result<(), String> {
    let Some(cut) = rest.find(['/', '?', '#']) else { return Ok(()) };
    let (before, after) = rest.split_at(cut);
    let found = after.chars().next().unwrap_or('#');
    let written = ENDS.iter().find(|(end, _)| *end == found).map_or("%23", |(_, written)| written);
    let told = |part: &str| {
        Err(format!(
            "the {part} holds a {found} as it is: percent-encode it, as {written} (and @ as %40, / as %2F, # as %23, \
             ? as %3F, : as %3A, % as %25)"
        ))
    };
    let path = after.split('?').next().unwrap_or_default();
    let host = before.rsplit_once('@').map_or(before, |(_, host)| host);
    // No database and no setting has a `#`, and an `@` behind the first `/` belongs to a password.
    match (before.contains('@'), after.contains('#'), path.contains('@')) {
        (_, _, true) => told("password"),
        (false, true, _) if after.contains('@') => told("password"),
        (_, true, _) => {
            Err("holds a # as it is: percent-encode it, as %23 (and @ as %40, / as %2F, ? as %3F)".to_owned())
        }
        (_, false, false) => {
            let readable = host.split(',').all(|host| host_and_port(host).is_ok());
            // A setting has a `=`.
            let setting =
                !after.starts_with('?') || after.split('@').next().is_some_and(|part| part.contains('='));
            if after.contains('@') && !(readable && setting) { told("password") } else { Ok(()) }
        }
    }
}

fn host_and_port(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => port,
            _ => return Err("an IPv6 address is written in brackets, as [::1]:5432".to_owned()),
        },
        None if host.matches(':').count() > 1 => {
            return Err(
                "an IPv6 address is written in brackets, as [::1]:5432; in a password : is %3A, which is \
                        called percent-encoding"
                    .to_owned(),
            );
        }
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    match port.strip_prefix(':') {
        Some(number) if number.parse::<u16>().is_err() => Err("the port is not a number; a # / ? @ or % in the \
                                                                password must be percent-encoded, as %23 %2F %3F \
                                                                %40 %25"
            .to_owned()),
        None if !port.is_empty() => Err("an IPv6 address is followed by : and the port".to_owned()),
        _ => Ok(()),
    }
}

/// A `%` that begins no such code would be taken for itself by some programs and refused by others.
fn percent_is_whole(user: &str) -> Result<(), String> {
    let bytes = user.as_bytes();
    let begins_a_code =
        |at: usize| bytes.get(at + 1..at + 3).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    let whole = (0..bytes.len()).filter(|at| bytes[*at] == b'%').all(begins_a_code);
    if whole && is_text_when_decoded(bytes) {
        Ok(())
    } else {
        Err("the password holds a % as it is: percent-encode it, as %25".to_owned())
    }
}

/// A `%` that stands for itself may happen to be followed by two digits of such a code.
fn is_text_when_decoded(bytes: &[u8]) -> bool {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

fn without_prefix(error: &str) -> String {
    error.strip_prefix("error with configuration: ").unwrap_or(error).to_owned()
}

#[cfg(test)]
mod tests {
    use super::servers;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        let servers = servers(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        servers.iter().map(|server| (server.get_host().to_owned(), server.get_port())).collect()
    }

    #[test]
    fn each_host_has_an_address_of_its_own() {
        let host = |name: &str, port| (name.to_owned(), port);
        assert_eq!(hosts("postgres://u:p@db.example/shop"), [host("db.example", 5432)]);
        assert_eq!(hosts("postgres://u:p@[::1]:6000/shop"), [host("::1", 6000)]);
        assert_eq!(hosts("postgres://[fe80::1]/shop"), [host("fe80::1", 5432)]);
        assert_eq!(
            hosts("postgres://u:p@a:1,b:2,[::1]:3/shop?target_session_attrs=read-write&sslmode=disable"),
            [host("a", 1), host("b", 2), host("::1", 3)]
        );
        assert_eq!(hosts("postgres://u:p%23%2F%40@a,b/shop"), [host("a", 5432), host("b", 5432)]);
        assert_eq!(hosts("postgres://u:p@ss@a/shop"), [host("a", 5432)], "the last @ ends the password");
        assert_eq!(hosts("postgres://a:5433/shop?user=me@home")[0].1, 5433);
    }

    #[test]
    fn what_must_be_escaped_is_told_and_the_password_is_not() {
        for password in
            ["p@ss#w/rd", "a/b@c", "x#y", "x?y", "5/6", "1#2", "a%b", "100%", "a:b/c", "?", "/", "#"]
        {
            for rest in ["127.0.0.1:5999/shop", "db/shop?sslmode=require", "a:1,b:2/shop"] {
                let url = format!("postgres://shop:{password}@{rest}");
                let told = servers(&url).map(drop).expect_err(&url);
                assert!(told.contains("percent"), "{url}: {told}");
                let shown = password.len() > 1 && told.contains(password);
                assert!(!shown && !told.contains('\n'), "{url}: {told}");
            }
        }
        for url in
            ["postgres://[", "postgres://[::1/x", "postgres://::1:5432/x", "postgres://a:b/x", "postgres:a"]
        {
            servers(url).map(drop).expect_err(url);
        }
    }
}
