//! Every variable that the program knows: the README's table and `.env.example` are held against this.

/// A variable of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set, in words.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether its value is never shown, and `NAME_FILE` names a file that holds it.
    pub secret: bool,
}

const fn plain(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: false }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: true }
}

/// All of them, in the order in which the README explains them.
pub static VARIABLES: &[Variable] = &[
    plain(
        "APP_ENV",
        "`development`",
        "`production` switches every safe default on and the simulated Stripe off",
    ),
    plain("NODE_ENV", "none", "read if `APP_ENV` is not set, as the original service does"),
    secret(
        "DATABASE_URL",
        "`sqlite://data/checkout.db` in development",
        "`postgres://…` or `sqlite://…`; required in production",
    ),
    secret(
        "SESSION_SECRET",
        "made and kept in `data/` in development",
        "signs the session cookie; at least 32 bytes, required in production",
    ),
    secret(
        "STRIPE_SECRET_KEY",
        "none: simulated Stripe, in development only",
        "`sk_test_…`, `sk_live_…` or `rk_…`; required in production",
    ),
    secret(
        "STRIPE_WEBHOOK_SECRET",
        "the simulator's",
        "the endpoint's secret, `whsec_` and at least 24 characters, or several separated by commas while one is being rolled; required in production",
    ),
    plain(
        "APP_URL",
        "`http://localhost:PORT`",
        "public address, for success and cancel URLs; https in production",
    ),
    plain("ADMIN_EMAIL", "none", "the first ADMIN's address, see `seed`"),
    secret("ADMIN_PASSWORD", "none", "the first ADMIN's password, see `seed`"),
    plain("APP_VERSION", "the package's version", "shown in `/admin/metrics`"),
    plain("HOST", "`127.0.0.1` (`0.0.0.0` in production)", "address to listen on"),
    plain("PORT", "`4242`", "port to listen on; `0` takes a free one"),
    plain(
        "TRUST_PROXY",
        "`0`",
        "how many proxies stand in front: the client address is the n-th from the right in `X-Forwarded-For`",
    ),
    plain(
        "ALLOWED_ORIGINS",
        "none",
        "other sites' pages that may call the public API (CORS), separated by commas",
    ),
    plain("APP_TIMEZONE", "`Europe/Paris`", "where the slots are"),
    plain("PAYLOAD_RETENTION_DAYS", "`90`", "then payloads are erased, facts stay"),
    plain("UNPAID_RETENTION_DAYS", "`30`", "then whoever made a booking that was never paid is forgotten"),
    plain("HOLDS_PER_ADDRESS", "`60`", "unpaid bookings that one client address may hold at once"),
    plain("HOLDS_PER_BROWSER", "`20`", "unpaid bookings that one browser may hold at once"),
    plain("HOLDS_PER_EMAIL", "`20`", "unpaid bookings that may be held at once for one e-mail address"),
    plain("COOKIE_SECURE", "`true` in production or if `APP_URL` is https", "cookie `sid` only over https"),
    plain("COOKIE_SAMESITE", "`lax`", "`lax`, `strict` or `none`"),
    plain("COOKIE_DOMAIN", "none", "a domain whose hosts share the session"),
    plain(
        "SESSION_STORE",
        "`database`",
        "or `memory`: sessions end with the process and are not shared between instances",
    ),
    plain("STRIPE_API_BASE", "`https://api.stripe.com`", "where Stripe's API is"),
    plain("SIMULATOR_HOST", "`127.0.0.1`", "address of the simulated Stripe in `serve`"),
    plain("SIMULATOR_PORT", "`12111`, or a free one if taken", "port of the simulated Stripe in `serve`"),
    plain("LOG_FORMAT", "`json` (`text` on a terminal)", "`json` or `text`"),
    plain("LOG_LEVEL", "`info`", "`error`, `warn`, `info`, `debug` or `trace`"),
    secret(
        "METRICS_TOKEN",
        "none: `/metrics` answers only loopback, in production nobody",
        "bearer token for Prometheus",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "none",
        "a collector that takes OpenTelemetry's traces over HTTP (`/v1/traces` is added), as `http://localhost:4318`",
    ),
    secret("OTEL_EXPORTER_OTLP_HEADERS", "none", "what is sent to it besides, as `name=value,name=value`"),
    plain("OTEL_SERVICE_NAME", "`checkout-backend`", "the name of this service in traces"),
    plain(
        "POLL_EVENTS",
        "`auto`",
        "Stripe's events feed: `auto` (start-up catch-up and slow watch), `only` (no public URL) or `off`",
    ),
    secret("NOTIFY_URL", "none", "where what happens to bookings, and each case, is posted"),
    secret("NOTIFY_SECRET", "none", "signs these posts; required with `NOTIFY_URL`"),
    secret("SMTP_URL", "none", "`smtps://user:password@host`: mails to customer and owner"),
    plain("MAIL_FROM", "none", "sender of the mails; required with `SMTP_URL`"),
    plain(
        "BUSINESS_FILE",
        "none",
        "a JSON file with name, address, logo and texts of the business, taken while none are set; see docs/API.md",
    ),
];
