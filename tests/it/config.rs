//! The configuration: what holds by default, and what refuses the start.

use crate::harness::process::free_port;
use crate::harness::{Engine, TestDatabase, TestProcess, eventually};
use checkout_backend::config::{
    Config, ConfigError, LogFormat, PollEvents, SameSite, SessionStore, VARIABLES,
};
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

type Vars = BTreeMap<String, String>;

fn vars(pairs: &[(&str, &str)]) -> Vars {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Development in a folder of its own, so that kept secrets do not meet.
fn development(folder: &tempfile::TempDir, more: &[(&str, &str)]) -> Vars {
    let mut vars = vars(more);
    vars.entry("DATABASE_URL".to_owned())
        .or_insert_with(|| format!("sqlite://{}/data/checkout.db", folder.path().display()));
    vars
}

const SECRET: &str = "0f9c1d2e3b4a59687706152433425160";

/// Endpoint secrets of the form that Stripe gives them.
const ONE: &str = "whsec_4eC39HqLyjWDarjtT1zdp7dcOne";
const TWO: &str = "whsec_8dA17GpKxiVCbqisS0ycn6ebTwo";

fn production(more: &[(&str, &str)]) -> Vars {
    let mut all = vars(&[
        ("APP_ENV", "production"),
        ("DATABASE_URL", "postgres://db/checkout"),
        ("SESSION_SECRET", SECRET),
        ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_WEBHOOK_SECRET", ONE),
        ("APP_URL", "https://pay.test"),
    ]);
    all.extend(vars(more));
    all
}

fn mistakes(vars: &Vars) -> Vec<String> {
    match Config::from_vars(vars) {
        Ok(_) => Vec::new(),
        Err(ConfigError(mistakes)) => mistakes.into_iter().map(|mistake| mistake.name).collect(),
    }
}

#[test]
fn nothing_configured_is_a_working_development() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::from_vars(&development(&folder, &[])).unwrap();
    assert!(config.simulated() && !config.is_production() && !config.livemode());
    assert_eq!((config.host.to_string().as_str(), config.port), ("127.0.0.1", 4242));
    assert_eq!(config.app_url, "http://localhost:4242");
    assert_eq!(config.timezone.iana_name(), Some("Europe/Paris"));
    assert_eq!(config.payload_retention_days, 90);
    assert_eq!((config.trust_proxy, config.allowed_origins.len()), (0, 0));
    assert_eq!(config.session_store, SessionStore::Database);
    assert_eq!(config.poll_events, PollEvents::Auto);
    assert_eq!(config.stripe_api_base, "https://api.stripe.com");
    assert_eq!((config.simulator_host.to_string().as_str(), config.simulator_port), ("127.0.0.1", None));
    assert!(!config.cookie.secure && config.cookie.same_site == SameSite::Lax);
    assert_eq!(config.cookie.domain, None);
    assert_eq!(config.app_version, env!("CARGO_PKG_VERSION"));
    assert!(config.metrics_token.is_none() && config.notify.is_none() && config.mail.is_none());
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn the_database_is_a_file_in_data_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let mut vars = development(&folder, &[("SESSION_SECRET", SECRET), ("STRIPE_WEBHOOK_SECRET", "whsec_x")]);
    vars.remove("DATABASE_URL");
    let config = Config::from_vars(&vars).unwrap();
    assert_eq!(config.database_url.expose_secret(), "sqlite://data/checkout.db");
    assert_eq!(config.data_dir.to_str(), Some("data"));
}

#[test]
fn development_makes_its_secrets_once_and_keeps_them_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let first = Config::from_vars(&development(&folder, &[])).unwrap();
    let second = Config::from_vars(&development(&folder, &[])).unwrap();
    assert!(first.session_secret.expose_secret().len() >= 32);
    assert_eq!(first.session_secret.expose_secret(), second.session_secret.expose_secret());
    assert_eq!(first.webhook_secrets[0].expose_secret(), second.webhook_secrets[0].expose_secret());
    assert!(first.webhook_secrets[0].expose_secret().starts_with("whsec_"));
    for name in ["session.secret", "webhook.secret"] {
        let path = folder.path().join("data").join(name);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Config::from_vars(&development(&elsewhere, &[])).unwrap();
    assert_ne!(first.session_secret.expose_secret(), other.session_secret.expose_secret());
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let empty: Vec<(&str, &str)> =
        VARIABLES.iter().map(|v| (v.name, "")).filter(|(name, _)| *name != "DATABASE_URL").collect();
    let config = Config::from_vars(&development(&folder, &empty)).unwrap();
    assert_eq!((config.port, config.webhook_secrets.len()), (4242, 1));
}

#[test]
fn production_switches_the_safe_defaults_on() {
    let config = Config::from_vars(&production(&[])).unwrap();
    assert!(config.is_production() && !config.simulated() && config.https());
    assert_eq!(config.host.to_string(), "0.0.0.0");
    assert!(config.cookie.secure);
    let node = production(&[("APP_ENV", ""), ("NODE_ENV", "production")]);
    assert!(Config::from_vars(&node).unwrap().is_production());
    let both = production(&[("APP_ENV", "production"), ("NODE_ENV", "development")]);
    assert!(Config::from_vars(&both).unwrap().is_production());
}

/// S37
#[test]
fn production_refuses_what_is_not_safe() {
    let cases: &[(&str, &str)] = &[
        ("SESSION_SECRET", ""),
        ("SESSION_SECRET", "short"),
        ("SESSION_SECRET", "changeme-changeme-changeme-changeme"),
        ("SESSION_SECRET", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("SESSION_SECRET", "abcabcabcabcabcabcabcabcabcabcabcabcabc"),
        ("SESSION_SECRET", "                                          "),
        ("SESSION_SECRET", "your secret, at least 32 characters long"),
        ("COOKIE_SECURE", "false"),
        ("COOKIE_SECURE", "0"),
        ("APP_URL", ""),
        ("APP_URL", "http://pay.test"),
        ("STRIPE_SECRET_KEY", ""),
        ("STRIPE_SECRET_KEY", "pk_live_4eC39HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_SECRET_KEY", "sk_live_"),
        ("STRIPE_SECRET_KEY", "sk_live_your_key_here"),
        ("STRIPE_SECRET_KEY", "sk_live_4eC39 HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_SECRET_KEY", "sk_prod_4eC39HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_WEBHOOK_SECRET", ""),
        ("STRIPE_WEBHOOK_SECRET", "whsec_4eC39HqLyjWDarjtT1zdp7dcOne,whsec_replace_me_replace_me_1"),
        ("METRICS_TOKEN", "x"),
        ("METRICS_TOKEN", "tokentokentokentokentokentoken"),
        ("NOTIFY_SECRET", "n"),
        ("NOTIFY_SECRET", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("SMTP_URL", "smtp://shop:hunter2@mail.test"),
        ("SMTP_URL", "smtp://shop:hunter2@mail.test:587?tls=opportunistic"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "postgres://checkout:change-me@db:5432/checkout"),
        ("STRIPE_API_BASE", "http://stripe.test"),
        ("NOTIFY_URL", "http://hook.test"),
    ];
    for (name, value) in cases {
        let mut vars = production(&[
            ("NOTIFY_URL", "https://hook.test"),
            ("NOTIFY_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0"),
            ("MAIL_FROM", "shop@pay.test"),
        ]);
        vars.insert((*name).to_owned(), (*value).to_owned());
        assert_eq!(mistakes(&vars), [*name], "{name}={value}");
    }
    for fine in [
        "smtps://shop:hunter2@mail.test",
        "smtp://shop:hunter2@mail.test?tls=required",
        "smtp://shop:hunter2@localhost:25",
        "smtp://shop:hunter2@127.0.0.1:25",
        "smtp://mail.test",
    ] {
        let vars = production(&[("SMTP_URL", fine), ("MAIL_FROM", "shop@pay.test")]);
        assert_eq!(mistakes(&vars), Vec::<String>::new(), "{fine}");
    }
}

/// By a secret that anybody can guess a payment was forged. What was pasted instead is named, never shown.
#[test]
fn a_webhook_secret_that_is_none_is_refused_in_production_and_told_elsewhere() {
    let cases: &[(&str, &str)] = &[
        ("x", "does not begin with whsec_"),
        ("abc", "does not begin with whsec_"),
        ("whsec_", "too short"),
        ("whsec_4eC39HqLyjWDarjtT1zdp7d", "too short"),
        ("whsec_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "too few different"),
        ("whsec_4eC39HqLyjW DarjtT1zdp7dcOne", "blank"),
        ("sk_test_4eC39HqLyjWDarjtT1zdp7dc", "API key"),
        ("rk_live_4eC39HqLyjWDarjtT1zdp7dc", "API key"),
        ("pk_test_4eC39HqLyjWDarjtT1zdp7dc", "API key"),
        ("we_1PqLyjWDarjtT1zdp7dc4eC39HqL", "endpoint's id"),
        ("\"whsec_4eC39HqLyjWDarjtT1zdp7dcOne\"", "quotes"),
        ("'whsec_4eC39HqLyjWDarjtT1zdp7dcOne'", "quotes"),
        ("WHSEC_4eC39HqLyjWDarjtT1zdp7dcOne", "does not begin with whsec_"),
    ];
    for (secret, told) in cases {
        for (list, place) in [((*secret).to_owned(), ""), (format!("{ONE},{secret}"), "secret 2 ")] {
            let vars = production(&[("STRIPE_WEBHOOK_SECRET", &list)]);
            let ConfigError(mistakes) = Config::from_vars(&vars).unwrap_err();
            let [mistake] = mistakes.as_slice() else { panic!("{list}: {mistakes:?}") };
            assert_eq!(mistake.name, "STRIPE_WEBHOOK_SECRET");
            assert!(mistake.message.contains(told) && mistake.message.contains(place), "{list}: {mistake}");
            assert!(secret.len() < 10 || !mistake.message.contains(secret), "{mistake}");

            let folder = tempfile::tempdir().unwrap();
            let development = development(&folder, &[("STRIPE_WEBHOOK_SECRET", &list)]);
            let config = Config::from_vars(&development).unwrap();
            let [warning] = config.warnings.as_slice() else { panic!("{list}: {:?}", config.warnings) };
            assert!(warning.message.contains(told), "{list}: {warning}");
        }
    }
    let both = format!("{ONE} , {TWO}");
    let fine = production(&[("STRIPE_WEBHOOK_SECRET", &both)]);
    assert_eq!(Config::from_vars(&fine).unwrap().webhook_secrets.len(), 2);
}

#[test]
fn all_mistakes_are_told_at_once_and_none_shows_a_secret() {
    let vars = production(&[
        ("SESSION_SECRET", "s3cr3t-canary"),
        ("STRIPE_SECRET_KEY", "canary-key"),
        ("APP_URL", "http://pay.test"),
        ("PORT", "70000"),
        ("DATABASE_URL", "mysql://root:canary@db/x"),
    ]);
    let error = Config::from_vars(&vars).unwrap_err();
    let text = error.to_string();
    for name in ["SESSION_SECRET", "STRIPE_SECRET_KEY", "APP_URL", "PORT", "DATABASE_URL"] {
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&format!("  {name}: "))).collect();
        assert_eq!(lines.len(), 1, "{text}");
    }
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_configuration_with_mistakes_leaves_no_files_behind() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(mistakes(&development(&folder, &[("PORT", "x")])), ["PORT"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn webhook_secrets_are_a_list_without_holes() {
    let secrets = |list: &str| -> Option<Vec<String>> {
        let config = Config::from_vars(&production(&[("STRIPE_WEBHOOK_SECRET", list)])).ok()?;
        Some(config.webhook_secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect())
    };
    assert_eq!(secrets(&format!("{ONE} , {TWO}")).unwrap(), [ONE, TWO]);
    for holed in [",", "ONE,", ",ONE", "ONE,,TWO", "ONE, ,TWO", " "] {
        let holed = holed.replace("ONE", ONE).replace("TWO", TWO);
        assert_eq!(secrets(&holed), None, "{holed:?}");
    }
}

#[test]
fn every_other_variable_says_what_it_takes() {
    let wrong = [
        ("APP_ENV", "staging"),
        ("ADMIN_EMAIL", "ada"),
        ("PORT", "-1"),
        ("HOST", "example.test"),
        ("TRUST_PROXY", "true"),
        ("TRUST_PROXY", "17"),
        ("TRUST_PROXY", "-1"),
        ("TRUST_PROXY", "1.5"),
        ("NODE_ENV", "staging"),
        ("PORT", "65536"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "https://shop.test,"),
        ("ALLOWED_ORIGINS", "shop.test"),
        ("ALLOWED_ORIGINS", "https://user@shop.test"),
        ("APP_URL", "https://pay.test?x=1"),
        ("APP_URL", "https://user:password@pay.test"),
        ("PAYLOAD_RETENTION_DAYS", "3651"),
        ("DATABASE_URL", "mysql://db/checkout"),
        ("STRIPE_SECRET_KEY", "whsec_4eC39HqLyjW"),
        ("STRIPE_API_BASE", "api.stripe.com"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://shop.test/path"),
        ("APP_URL", "https://pay.test/path"),
        ("APP_URL", "pay.test"),
        ("APP_TIMEZONE", "Europe/Atlantis"),
        ("PAYLOAD_RETENTION_DAYS", "0"),
        ("COOKIE_SECURE", "maybe"),
        ("COOKIE_SAMESITE", "loose"),
        ("COOKIE_SAMESITE", "none"),
        ("COOKIE_DOMAIN", "a b"),
        ("SESSION_STORE", "redis"),
        ("STRIPE_API_BASE", "ftp://x"),
        ("SIMULATOR_PORT", "many"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("POLL_EVENTS", "sometimes"),
        ("SMTP_URL", "http://mail.test"),
        ("NOTIFY_URL", "not an address"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in wrong {
        let more = [(name, value), ("MAIL_FROM", "a@shop.test"), ("NOTIFY_SECRET", "n")];
        // Whoever asks for an unknown environment gets production's rules, so it is not the only mistake.
        assert!(mistakes(&development(&folder, &more)).contains(&name.to_owned()), "{name}={value}");
    }
    let incomplete = [("NOTIFY_URL", "https://hook.test"), ("SMTP_URL", "smtps://mail.test")];
    assert_eq!(mistakes(&development(&folder, &incomplete)), ["NOTIFY_SECRET", "MAIL_FROM"]);
}

#[test]
fn every_variable_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::from_vars(&development(
        &folder,
        &[
            ("APP_URL", "https://pay.test/"),
            ("APP_VERSION", "1.2.3"),
            ("HOST", "::1"),
            ("PORT", "8080"),
            ("TRUST_PROXY", "2"),
            ("ALLOWED_ORIGINS", "https://shop.test, http://localhost:3000"),
            ("APP_TIMEZONE", "America/New_York"),
            ("COOKIE_SAMESITE", "Strict"),
            ("COOKIE_DOMAIN", ".pay.test"),
            ("SESSION_STORE", "memory"),
            ("STRIPE_API_BASE", "http://127.0.0.1:9/"),
            ("STRIPE_SECRET_KEY", "rk_live_x"),
            ("LOG_FORMAT", "text"),
            ("LOG_LEVEL", "debug"),
            ("POLL_EVENTS", "only"),
            ("ADMIN_EMAIL", "admin@pay.test"),
            ("ADMIN_PASSWORD", "long enough for anybody"),
        ],
    ))
    .unwrap();
    assert_eq!(config.app_url, "https://pay.test");
    assert!(config.cookie.secure, "an https address has secure cookies by default");
    assert_eq!(config.allowed_origins, ["https://shop.test", "http://localhost:3000"]);
    assert_eq!(config.cookie.domain.as_deref(), Some("pay.test"));
    assert_eq!(config.stripe_api_base, "http://127.0.0.1:9");
    assert!(config.livemode());
    assert_eq!(config.log_format, Some(LogFormat::Text));
    assert_eq!(config.poll_events, PollEvents::Only);
    assert_eq!(config.warnings.len(), 2, "a live key and no webhook secret: {:?}", config.warnings);
}

#[test]
fn secrets_may_stand_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let path = path.to_str().unwrap();
    let config =
        Config::from_vars(&production(&[("SESSION_SECRET", ""), ("SESSION_SECRET_FILE", path)])).unwrap();
    assert_eq!(config.session_secret.expose_secret(), SECRET);
    assert_eq!(mistakes(&production(&[("SESSION_SECRET_FILE", path)])), ["SESSION_SECRET"], "given twice");
    let missing = production(&[("SESSION_SECRET", ""), ("SESSION_SECRET_FILE", "/nowhere/at/all")]);
    assert_eq!(mistakes(&missing), ["SESSION_SECRET_FILE"]);
    for nothing in ["", "\n", " \r\n\r\n"] {
        let empty = folder.path().join("empty");
        std::fs::write(&empty, nothing).unwrap();
        let vars = production(&[("SESSION_SECRET", ""), ("SESSION_SECRET_FILE", empty.to_str().unwrap())]);
        assert_eq!(mistakes(&vars), ["SESSION_SECRET_FILE"], "{nothing:?}");
    }
}

#[test]
fn every_secret_may_stand_in_a_file_with_blanks_and_line_ends_around_it() {
    let values = [
        ("DATABASE_URL", "postgres://u:p@db/checkout"),
        ("SESSION_SECRET", "fedcba98765432100123456789abcdef"),
        ("STRIPE_SECRET_KEY", "rk_test_4eC39HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_4eC39HqLyjWDarjtT1zdp7dcOne, whsec_8dA17GpKxiVCbqisS0ycn6ebTwo"),
        ("ADMIN_PASSWORD", " a blank may begin it"),
        ("METRICS_TOKEN", "let-me-in-by-2031"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=token"),
        ("NOTIFY_URL", "https://hook.test/x"),
        ("NOTIFY_SECRET", "whsec_bm90aWZ5LW1l"),
        ("SMTP_URL", "smtps://u:p@mail.test"),
    ];
    let secrets: Vec<_> = VARIABLES.iter().filter(|v| v.secret).map(|v| v.name).collect();
    assert_eq!(secrets, values.map(|(name, _)| name));
    let folder = tempfile::tempdir().unwrap();
    let mut vars =
        production(&[("MAIL_FROM", "shop@pay.test"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://spans.test")]);
    for (name, value) in values {
        let path = folder.path().join(name);
        let text = if name == "ADMIN_PASSWORD" { format!("{value}\r\n") } else { format!(" {value} \r\n\n") };
        std::fs::write(&path, text).unwrap();
        vars.remove(name);
        vars.insert(format!("{name}_FILE"), path.to_str().unwrap().to_owned());
    }
    let config = Config::from_vars(&vars).unwrap();
    let (notify, mail) = (config.notify.unwrap(), config.mail.unwrap());
    let (header, token) = &config.traces.as_ref().unwrap().headers[0];
    let header = format!("{header}={}", token.expose_secret());
    let read = [
        config.database_url.expose_secret(),
        config.session_secret.expose_secret(),
        config.stripe_secret_key.as_ref().unwrap().expose_secret(),
        &config.webhook_secrets.iter().map(|s| s.expose_secret().to_owned()).collect::<Vec<_>>().join(", "),
        config.admin_password.as_ref().unwrap().expose_secret(),
        config.metrics_token.as_ref().unwrap().expose_secret(),
        &header,
        notify.url.expose_secret(),
        notify.secret.expose_secret(),
        mail.smtp_url.expose_secret(),
    ];
    assert_eq!(read, values.map(|(_, value)| value));
}

/// S37: as whoever runs it sees it, lines of `.env` included.
#[tokio::test]
async fn a_refused_configuration_is_misuse_and_every_mistake_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "APP_URL=http://pay.test\nthis is no line\n").unwrap();
    let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_checkout-backend"))
        .current_dir(folder.path())
        .env_clear()
        .envs([("APP_ENV", "production"), ("SESSION_SECRET", "short-canary"), ("COOKIE_SECURE", "false")])
        .output()
        .await
        .unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stdout.is_empty(), "{refused:?}");
    let talk = String::from_utf8(refused.stderr).unwrap();
    let names: Vec<_> = talk.lines().skip(1).map(|line| line.trim().split(':').next().unwrap()).collect();
    for name in [
        ".env",
        "DATABASE_URL",
        "STRIPE_SECRET_KEY",
        "APP_URL",
        "SESSION_SECRET",
        "STRIPE_WEBHOOK_SECRET",
        "COOKIE_SECURE",
    ] {
        assert_eq!(names.iter().filter(|told| **told == name).count(), 1, "{name}: {talk}");
    }
    assert!(!talk.contains("canary"), "{talk}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only .env is there");
}

#[test]
fn an_admin_that_cannot_be_made_is_told_with_the_other_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = [("ADMIN_EMAIL", "ada@pay.test"), ("ADMIN_PASSWORD", "short"), ("PORT", "none")];
    let error = Config::from_vars(&development(&folder, &wrong)).unwrap_err();
    let told: Vec<&str> = error.0.iter().map(|mistake| mistake.name.as_str()).collect();
    assert_eq!(told, ["PORT", "ADMIN_PASSWORD"]);
    assert!(!error.to_string().contains("short"), "{error}");
}

#[tokio::test]
async fn a_start_without_its_database_says_what_it_waits_for_and_why() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let variables =
        [("DATABASE_URL", "postgres://shop:canary-password@127.0.0.1:1/orders"), ("LOG_LEVEL", "info")];
    let log = db.folder.path().join("log");
    let output = std::fs::File::create(&log).unwrap().into();
    let mut process = TestProcess::spawn(&db, free_port(), "http://127.0.0.1:1", &variables, output);
    let told = process.says("waiting").await;
    assert!(told.contains("127.0.0.1:1/orders") && told.contains("refused"), "{told}");
    let read_log = || std::fs::read_to_string(&log).unwrap();
    eventually("the log says so too", async || read_log().contains("\"store.waiting\"")).await;
    assert!(!told.contains("canary") && !read_log().contains("canary"), "{told} {}", read_log());
    process.kill().await;
}

#[tokio::test]
async fn a_start_with_the_wrong_database_ends_and_says_why() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let url = format!("{}_missing", db.url);
    let variables = [("DATABASE_URL", url.as_str())];
    let mut process =
        TestProcess::spawn(&db, free_port(), "http://127.0.0.1:1", &variables, std::process::Stdio::null());
    let told = process.says("cannot use PostgreSQL").await;
    assert!(told.contains("_missing") && told.contains("does not exist"), "{told}");
    assert_eq!(process.ended().await.code(), Some(1));
    db.remove().await;
}

#[test]
fn a_misspelt_variable_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let vars =
        development(&folder, &[("STRIPE_WEBHOOK_SECRETS", "x"), ("SESION_SECRET", "x"), ("PATH", "/bin")]);
    let config = Config::from_vars(&vars).unwrap();
    let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter()
            .any(|line| line == "STRIPE_WEBHOOK_SECRETS: is not read; did you mean STRIPE_WEBHOOK_SECRET?")
    );
}

/// A name that was broken off, or that is of Stripe and not ours, would be missed in silence too.
#[test]
fn a_variable_of_stripes_that_is_not_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str| -> Vec<String> {
        let config = Config::from_vars(&development(&folder, &[(name, "x")])).unwrap();
        config.warnings.iter().map(|warning| warning.message.clone()).collect()
    };
    for (name, meant) in [
        ("STRIPE_SECRTE", "STRIPE_SECRET_KEY"),
        ("STRIPE_SECRET", "STRIPE_SECRET_KEY"),
        ("STRIPE_SECERT_KEY", "STRIPE_SECRET_KEY"),
        ("STRIPE_WEBHOOK", "STRIPE_WEBHOOK_SECRET"),
        ("PAYLOAD_RETENTION", "PAYLOAD_RETENTION_DAYS"),
        ("stripe_api_bse", "STRIPE_API_BASE"),
    ] {
        assert_eq!(told(name), [format!("is not read; did you mean {meant}?")], "{name}");
    }
    for name in ["STRIPE_KEY", "STRIPE_PUBLISHABLE_KEY"] {
        let told = told(name);
        assert!(told.len() == 1 && told[0].contains("is not read"), "{name}: {told:?}");
    }
    for name in ["HOSTNAME", "SESSION_MANAGER", "XDG_SESSION_TYPE", "DATABASE", "LOG", "SMTP_HOST", "ADMIN"] {
        assert_eq!(told(name), [""; 0], "{name}");
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let vars = production(&[
        ("DATABASE_URL", "postgres://u:canary1@db/x"),
        ("SESSION_SECRET", "canary2-0f9c1d2e3b4a59687706152433425160"),
        ("STRIPE_SECRET_KEY", "sk_test_canary3"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_canary4-0123456789-4eC39,whsec_canary5-0123456789-4eC39"),
        ("ADMIN_PASSWORD", "canary6"),
        ("METRICS_TOKEN", "canary7-0123"),
        ("NOTIFY_URL", "https://hook.test/canary8"),
        ("NOTIFY_SECRET", "canary9-0123"),
        ("SMTP_URL", "smtps://u:canary10@mail.test"),
        ("MAIL_FROM", "shop@pay.test"),
    ]);
    let text = format!("{:?}", Config::from_vars(&vars).unwrap());
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn the_address_follows_the_port_unless_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::from_vars(&development(&folder, &[("PORT", "0")])).unwrap();
    config.listening_on(5555);
    assert_eq!((config.port, config.app_url.as_str()), (5555, "http://localhost:5555"));
    let mut config =
        Config::from_vars(&development(&folder, &[("PORT", "0"), ("APP_URL", "http://shop.test")])).unwrap();
    config.listening_on(5555);
    assert_eq!(config.app_url, "http://shop.test");
}

/// The program in a folder of its own, with what it says: it must end by itself.
async fn refused_in(
    folder: &tempfile::TempDir,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_checkout-backend"))
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended =
        tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.expect("it goes on").unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

/// Docker makes a folder of a file that it is to mount and that is not there.
#[tokio::test]
async fn a_folder_in_the_place_of_the_settings_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".env")).unwrap();
    let (code, talk) = refused_in(&folder, &["migrate", "status"], &[]).await;
    assert!(code == Some(2) && talk.contains(".env: is a folder"), "{code:?} {talk}");
}

#[tokio::test]
async fn what_other_programs_would_read_differently_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# settings\r\nADMIN_EMAIL=ada@pay.test\r\nADMIN_PASSWORD=Correct$Battery-77\r\n";
    std::fs::write(folder.path().join(".env"), text).unwrap();
    let (code, talk) = refused_in(&folder, &["seed"], &[]).await;
    assert!(code == Some(2) && talk.contains("line 3") && talk.contains("single quotes"), "{talk}");
    assert!(!talk.contains("Battery"), "{talk}");
    // A mark that some editors write is no part of the first name.
    std::fs::write(folder.path().join(".env"), "\u{feff}PORT=none\nADMIN_PASSWORD='Correct$Battery-77'\n")
        .unwrap();
    let (code, talk) = refused_in(&folder, &["seed"], &[]).await;
    assert!(code == Some(2) && talk.contains("PORT: ") && !talk.contains(".env"), "{talk}");
    std::fs::write(folder.path().join(".env"), b"A=1\nB=\xff\n").unwrap();
    let (code, talk) = refused_in(&folder, &["seed"], &[]).await;
    assert!(code == Some(2) && talk.contains("line 2 is not UTF-8"), "{talk}");
}

#[tokio::test]
async fn an_address_with_an_unescaped_password_is_told_with_the_other_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    for password in ["canary#1", "canary/1", "p@canary#w/rd", "100%canary"] {
        let url = format!("postgres://shop:{password}@127.0.0.1:5999/shop");
        let (code, talk) = refused_in(&folder, &["serve"], &[("DATABASE_URL", &url), ("PORT", "none")]).await;
        assert_eq!(code, Some(2), "{talk}");
        assert!(
            talk.contains("DATABASE_URL: ") && talk.contains("percent-encode") && talk.contains("PORT: "),
            "{talk}"
        );
        assert!(!talk.contains("canary"), "{talk}");
    }
}

#[tokio::test]
async fn the_command_line_says_where_to_listen_over_the_variables() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let port = free_port();
    let mut listening = tokio::process::Command::new(env!("CARGO_BIN_EXE_checkout-backend"))
        .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
        .current_dir(db.folder.path())
        .env_clear()
        .envs([
            ("DATABASE_URL", db.url.as_str()),
            ("HOST", "127.0.0.9"),
            ("PORT", "1"),
            ("SIMULATOR_PORT", "0"),
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let http = crate::harness::app::client();
    let alive = async || http.get(format!("http://127.0.0.1:{port}/livez")).send().await.is_ok();
    eventually("it listens there", alive).await;
    listening.kill().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (code, talk) = refused_in(&folder, &["serve", "--host", "nowhere"], &[]).await;
    assert!(code == Some(2) && talk.contains("IP address"), "{talk}");
}
