//! `/v1/…`: the table of all endpoints, and the road that every request takes.
//!
//! Key → endpoint → faults → parameters → idempotency key → schema → the endpoint itself → answer.

use super::error::StripeError;
use super::faults::{ApiFault, ApiFaultKind};
use super::form::{self, Branch};
use super::idempotency::{self, Begin, Kept, Stored};
use super::routes::{
    Answer, Call, account, catalog, charges, disputes, events, intents, keep, links, refunds, search,
    sessions, shop, webhooks,
};
use super::schema::{self, Field};
use super::world::{Cause, World};
use super::{Shared, auth, expand, guard, ids, known, params, rules, versions};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The largest request body that is read.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long an answer waits for the webhooks that its request caused, if a fault asks for it.
const WEBHOOK_WAIT: Duration = Duration::from_secs(10);
/// Names the parameters that were taken and have no effect here: nothing is silent.
const NO_EFFECT: &str = "stripe-sim-no-effect";

/// One endpoint: where it is, what it takes, what it answers.
#[derive(Debug)]
struct Route {
    method: Method,
    /// `{}` stands for an id.
    path: &'static str,
    fields: &'static [Field],
    /// The kind of object answered, by which expansions are checked.
    kind: &'static str,
    handler: fn(&mut World, &Call) -> Answer,
}

type Handler = fn(&mut World, &Call) -> Answer;

const fn get(path: &'static str, fields: &'static [Field], kind: &'static str, handler: Handler) -> Route {
    Route { method: Method::GET, path, fields, kind, handler }
}

const fn post(path: &'static str, fields: &'static [Field], kind: &'static str, handler: Handler) -> Route {
    Route { method: Method::POST, path, fields, kind, handler }
}

const fn delete(path: &'static str, handler: Handler) -> Route {
    Route { method: Method::DELETE, path, fields: &params::NONE, kind: "", handler }
}

#[rustfmt::skip] // one endpoint a line
static ROUTES: [Route; 99] = [
    post("/v1/checkout/sessions", &params::SESSION_CREATE, "checkout.session", sessions::create),
    get("/v1/checkout/sessions", &params::SESSION_LIST, "list checkout.session", sessions::list),
    get("/v1/checkout/sessions/{}", &params::EXPAND, "checkout.session", sessions::retrieve),
    post("/v1/checkout/sessions/{}", &params::SESSION_UPDATE, "checkout.session", sessions::update),
    post("/v1/checkout/sessions/{}/expire", &params::EXPAND, "checkout.session", sessions::expire),
    get("/v1/checkout/sessions/{}/line_items", &params::PAGE, "list item", sessions::line_items),

    post("/v1/payment_intents", &params::INTENT_CREATE, "payment_intent", intents::create),
    get("/v1/payment_intents", &params::INTENT_LIST, "list payment_intent", intents::list),
    get("/v1/payment_intents/{}", &params::INTENT_RETRIEVE, "payment_intent", intents::retrieve),
    post("/v1/payment_intents/{}", &params::INTENT_UPDATE, "payment_intent", intents::update),
    post("/v1/payment_intents/{}/confirm", &params::INTENT_CONFIRM, "payment_intent", intents::confirm),
    post("/v1/payment_intents/{}/capture", &params::INTENT_CAPTURE, "payment_intent", intents::capture),
    post("/v1/payment_intents/{}/cancel", &params::INTENT_CANCEL, "payment_intent", intents::cancel),

    post("/v1/charges", &params::CHARGE_CREATE, "charge", charges::create),
    get("/v1/charges", &params::CHARGE_LIST, "list charge", charges::list),
    get("/v1/charges/{}", &params::EXPAND, "charge", charges::retrieve),
    post("/v1/charges/{}", &params::CHARGE_UPDATE, "charge", charges::update),
    post("/v1/charges/{}/capture", &params::CHARGE_CAPTURE, "charge", charges::capture),

    post("/v1/refunds", &params::REFUND_CREATE, "refund", refunds::create),
    get("/v1/refunds", &params::BY_CHARGE_LIST, "list refund", refunds::list),
    get("/v1/refunds/{}", &params::EXPAND, "refund", refunds::retrieve),
    post("/v1/refunds/{}", &params::METADATA_UPDATE, "refund", refunds::update),
    post("/v1/refunds/{}/cancel", &params::EXPAND, "refund", refunds::cancel),

    get("/v1/disputes", &params::BY_CHARGE_LIST, "list dispute", disputes::list),
    get("/v1/disputes/{}", &params::EXPAND, "dispute", disputes::retrieve),
    post("/v1/disputes/{}", &params::DISPUTE_UPDATE, "dispute", disputes::update),
    post("/v1/disputes/{}/close", &params::EXPAND, "dispute", disputes::close),

    get("/v1/events", &params::EVENT_LIST, "list event", events::list),
    get("/v1/events/{}", &params::EXPAND, "event", events::retrieve),
    post("/v1/events/{}/retry", &params::EVENT_RETRY, "event", events::retry),

    post("/v1/webhook_endpoints", &params::ENDPOINT_CREATE, "webhook_endpoint", webhooks::create),
    get("/v1/webhook_endpoints", &params::PAGE, "list webhook_endpoint", webhooks::list),
    get("/v1/webhook_endpoints/{}", &params::EXPAND, "webhook_endpoint", webhooks::retrieve),
    post("/v1/webhook_endpoints/{}", &params::ENDPOINT_UPDATE, "webhook_endpoint", webhooks::update),
    delete("/v1/webhook_endpoints/{}", webhooks::delete),

    get("/v1/balance", &params::EXPAND, "balance", account::balance),
    get("/v1/balance_transactions", &params::TRANSACTION_LIST, "list balance_transaction", account::transactions),
    get("/v1/balance_transactions/{}", &params::EXPAND, "balance_transaction", account::transaction),
    // The older address of the same, which the libraries still know.
    get("/v1/balance/history", &params::TRANSACTION_LIST, "list balance_transaction", account::transactions),
    get("/v1/balance/history/{}", &params::EXPAND, "balance_transaction", account::transaction),
    // What Stripe's command line tool pays its sessions by; no library knows it.
    get("/v1/payment_pages/{}", &params::EXPAND, "payment_page", sessions::payment_page),
    post("/v1/payment_pages/{}/confirm", &params::PAGE_CONFIRM, "payment_page", sessions::confirm_page),

    get("/v1/account", &params::EXPAND, "account", account::account),
    get("/v1/accounts/{}", &params::EXPAND, "account", account::account),

    get("/v1/charges/search", &params::SEARCH, "list charge", search::charges),
    get("/v1/customers/search", &params::SEARCH, "list customer", search::customers),
    get("/v1/payment_intents/search", &params::SEARCH, "list payment_intent", search::intents),
    get("/v1/prices/search", &params::SEARCH, "list price", search::prices),
    get("/v1/products/search", &params::SEARCH, "list product", search::products),

    post("/v1/coupons", &params::COUPON_CREATE, "coupon", shop::create_coupon),
    get("/v1/coupons", &params::CREATED_LIST, "list coupon", shop::coupons),
    get("/v1/coupons/{}", &params::EXPAND, "coupon", shop::coupon),
    post("/v1/coupons/{}", &params::COUPON_UPDATE, "coupon", shop::update_coupon),
    post("/v1/promotion_codes", &params::CODE_CREATE, "promotion_code", shop::create_code),
    get("/v1/promotion_codes", &params::CODE_LIST, "list promotion_code", shop::codes),
    get("/v1/promotion_codes/{}", &params::EXPAND, "promotion_code", shop::code),
    post("/v1/promotion_codes/{}", &params::CODE_UPDATE, "promotion_code", shop::update_code),
    post("/v1/tax_rates", &params::TAX_CREATE, "tax_rate", shop::create_tax_rate),
    get("/v1/tax_rates", &params::TAX_LIST, "list tax_rate", shop::tax_rates),
    get("/v1/tax_rates/{}", &params::EXPAND, "tax_rate", shop::tax_rate),
    post("/v1/tax_rates/{}", &params::TAX_UPDATE, "tax_rate", shop::update_tax_rate),
    post("/v1/shipping_rates", &params::SHIPPING_RATE_CREATE, "shipping_rate", shop::create_shipping_rate),
    get("/v1/shipping_rates", &params::SHIPPING_RATE_LIST, "list shipping_rate", shop::shipping_rates),
    get("/v1/shipping_rates/{}", &params::EXPAND, "shipping_rate", shop::shipping_rate),
    post("/v1/shipping_rates/{}", &params::SHIPPING_RATE_UPDATE, "shipping_rate", shop::update_shipping_rate),
    delete("/v1/coupons/{}", shop::delete_coupon),
    post("/v1/payment_links", &params::LINK_CREATE, "payment_link", links::create),
    get("/v1/payment_links", &params::LINK_LIST, "list payment_link", links::list),
    get("/v1/payment_links/{}", &params::EXPAND, "payment_link", links::retrieve),
    post("/v1/payment_links/{}", &params::LINK_UPDATE, "payment_link", links::update),
    get("/v1/payment_links/{}/line_items", &params::PAGE, "list item", links::line_items),

    post("/v1/payment_methods", &params::METHOD_CREATE, "payment_method", keep::create_method),
    get("/v1/payment_methods", &params::METHOD_LIST, "list payment_method", keep::methods),
    get("/v1/payment_methods/{}", &params::EXPAND, "payment_method", keep::retrieve_method),
    post("/v1/payment_methods/{}", &params::METHOD_UPDATE, "payment_method", keep::update_method),
    post("/v1/payment_methods/{}/attach", &params::METHOD_ATTACH, "payment_method", keep::attach_method),
    post("/v1/payment_methods/{}/detach", &params::EXPAND, "payment_method", keep::detach_method),
    get("/v1/customers/{}/payment_methods", &params::METHOD_LIST, "list payment_method", keep::methods_of_customer),
    post("/v1/setup_intents", &params::SETUP_CREATE, "setup_intent", keep::create_setup),
    get("/v1/setup_intents", &params::SETUP_LIST, "list setup_intent", keep::setups),
    get("/v1/setup_intents/{}", &params::INTENT_RETRIEVE, "setup_intent", keep::retrieve_setup),
    post("/v1/setup_intents/{}", &params::SETUP_UPDATE, "setup_intent", keep::update_setup),
    post("/v1/setup_intents/{}/confirm", &params::SETUP_CONFIRM, "setup_intent", keep::confirm_setup),
    post("/v1/setup_intents/{}/cancel", &params::INTENT_CANCEL, "setup_intent", keep::cancel_setup),

    delete("/v1/customers/{}", account::delete_customer),
    delete("/v1/products/{}", catalog::delete_product),
    post("/v1/customers", &params::CUSTOMER_WRITE, "customer", account::create_customer),
    get("/v1/customers", &params::CUSTOMER_LIST, "list customer", account::customers),
    get("/v1/customers/{}", &params::EXPAND, "customer", account::customer),
    post("/v1/customers/{}", &params::CUSTOMER_WRITE, "customer", account::update_customer),

    post("/v1/products", &params::PRODUCT_CREATE, "product", catalog::create_product),
    get("/v1/products", &params::CATALOG_LIST, "list product", catalog::products),
    get("/v1/products/{}", &params::EXPAND, "product", catalog::product),
    post("/v1/products/{}", &params::PRODUCT_UPDATE, "product", catalog::update_product),
    post("/v1/prices", &params::PRICE_CREATE, "price", catalog::create_price),
    get("/v1/prices", &params::CATALOG_LIST, "list price", catalog::prices),
    get("/v1/prices/{}", &params::EXPAND, "price", catalog::price),
    post("/v1/prices/{}", &params::PRICE_UPDATE, "price", catalog::update_price),
    get("/v1/charges/{}/refunds", &params::PAGE, "list refund", refunds::of_charge),
];

/// The endpoint for a method and path, and the id in the path.
fn find_route(method: &Method, path: &str) -> Option<(&'static Route, String)> {
    let asked: Vec<&str> = path.split('/').collect();
    // A fixed address goes before one that would take its last word for an id.
    let fixed = ROUTES.iter().find(|r| r.method == *method && r.path == path);
    fixed.into_iter().chain(ROUTES.iter().filter(|r| r.method == *method)).find_map(|route| {
        let pattern: Vec<&str> = route.path.split('/').collect();
        let mut id = "";
        let fits = pattern.len() == asked.len()
            && pattern.iter().zip(&asked).all(|(want, have)| match *want {
                "{}" => {
                    id = have;
                    !have.is_empty()
                }
                fixed => fixed == *have,
            });
        let decoded =
            || form_urlencoded::parse(format!("x={id}").as_bytes()).next().map(|(_, v)| v.into_owned());
        fits.then(|| (route, decoded().unwrap_or_default()))
    })
}

/// A request to the API.
#[derive(Debug)]
pub(crate) struct Request {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    /// The body, or how it could not be read.
    pub body: Result<Bytes, StripeError>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What goes back: an answer, or a cut connection.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Response<Body>),
    Reset,
}

/// An answer before it is sent.
#[derive(Debug)]
struct Reply {
    status: u16,
    body: String,
    headers: Vec<(&'static str, String)>,
    /// Events that this request caused.
    events: Vec<String>,
    /// Why it was refused.
    why: Option<String>,
}

impl Reply {
    /// `idle` are parameters that were taken and do nothing.
    fn ok(value: &Value, idle: Vec<String>) -> Self {
        let headers = if idle.is_empty() { vec![] } else { vec![(NO_EFFECT, idle.join(", "))] };
        Self { status: 200, body: pretty(value), headers, events: Vec::new(), why: None }
    }

    fn refused(error: &StripeError, log_url: &str) -> Self {
        let headers = error.headers().iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut body = error.body();
        if error.status != 401 {
            body["error"]["request_log_url"] = log_url.into();
        }
        let why = Some(error.message().to_owned());
        Self { status: error.status, body: pretty(&body), headers, events: Vec::new(), why }
    }

    /// As an idempotency key keeps it.
    fn stored(&self, request_id: &str) -> Stored {
        Stored { status: self.status, body: Kept::of(&self.body), request: request_id.to_owned() }
    }
}

/// Stripe indents its JSON.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| "{}".to_owned())
}

/// A request whose key, version and endpoint are known.
#[derive(Debug)]
struct Ready {
    what: What,
    version: String,
    /// Whether the request named the version itself.
    asked: bool,
    fault: Option<ApiFault>,
}

/// Who answers.
#[derive(Debug, Clone)]
enum What {
    /// One of [`ROUTES`], and the id in the path.
    Route(&'static Route, String),
    /// An address that Stripe has and that is not simulated.
    Known(known::Address),
}

/// Answers one request and notes it in the log.
pub(crate) async fn handle(shared: &Arc<Shared>, request: Request) -> Outcome {
    let request_id = ids::request();
    let log_url = format!("{}/?request={request_id}", shared.read(|world| world.public_url.clone()));
    let prepared = prepare(shared, &request);
    let version = prepared.as_ref().map(|ready| ready.version.clone()).ok();
    let (fault, reply) = match prepared {
        Ok(ready) => {
            let reply = run(shared, &request, &request_id, &log_url, &ready).await;
            (ready.fault, reply)
        }
        Err(error) => (None, Some(Reply::refused(&error, &log_url))),
    };
    let status = reply.as_ref().map(|reply| reply.status);
    let why = reply.as_ref().and_then(|reply| reply.why.clone());
    shared.log_request(&request, &request_id, status, why);
    let Some(reply) = reply else { return Outcome::Reset };
    let cut = match fault.map(|f| f.kind) {
        Some(ApiFaultKind::ResetAfter) => return Outcome::Reset,
        Some(ApiFaultKind::Truncated) => true,
        _ => false,
    };
    let version = version.unwrap_or_else(|| shared.read(|world| world.api_version.clone()));
    Outcome::Answer(render(&request, &request_id, &version, reply, cut))
}

/// Key, version, endpoint and fault of a request.
fn prepare(shared: &Shared, request: &Request) -> Result<Ready, StripeError> {
    guard::check_api(shared, &request.headers)?;
    auth::check(&request.headers)?;
    let (version, asked) = version(shared, request)?;
    let fault = shared.strike(request.method.as_str(), &request.path);
    let what = match find_route(&request.method, &request.path) {
        Some((route, id)) => What::Route(route, id),
        None => match known::find(request.method.as_str(), &request.path) {
            Some(address) => What::Known(address),
            None => return Err(StripeError::unknown_url(request.method.as_str(), &request.path)),
        },
    };
    Ok(Ready { what, version, asked, fault })
}

/// Runs the endpoint with what faults and idempotency make of it. `None`: cut the connection.
async fn run(
    shared: &Arc<Shared>,
    request: &Request,
    request_id: &str,
    log_url: &str,
    ready: &Ready,
) -> Option<Reply> {
    let fault = ready.fault.as_ref();
    let refuse = |error: &StripeError| Some(Reply::refused(error, log_url));
    match fault.map(|f| f.kind) {
        Some(ApiFaultKind::ResetBefore) => return None,
        Some(ApiFaultKind::RateLimit) => return refuse(&StripeError::rate_limited()),
        Some(ApiFaultKind::ServerError) => return refuse(&StripeError::server_error()),
        Some(ApiFaultKind::ShouldRetry) => return refuse(&StripeError::to_be_retried()),
        Some(ApiFaultKind::ShouldNotRetry) => return refuse(&StripeError::not_to_be_retried()),
        Some(ApiFaultKind::Html) => return Some(html()),
        _ => {}
    }
    let sent = match parameters(request) {
        Ok(sent) => sent,
        Err(error) => return refuse(&error),
    };
    let (route, id) = match &ready.what {
        What::Route(route, id) => (*route, id),
        What::Known(address) => {
            return match address.answer(&request.path) {
                Ok(list) => Some(Reply::ok(&list, Vec::new())),
                Err(error) => refuse(&error),
            };
        }
    };
    let key = match idempotency_key(request) {
        Ok(key) => key,
        Err(error) => return refuse(&error),
    };
    if let Some(key) = &key {
        let print = idempotency::fingerprint(&sent);
        match shared.begin_key(key, &request.path, print) {
            Ok(Begin::Run) => {}
            Ok(Begin::Replay(stored)) => return Some(replay(stored)),
            Err(error) => return refuse(&error),
        }
    }
    // From here on the key is taken: whatever happens, `finish_key` must be reached, also when the
    // caller hangs up and this future is dropped.
    let mut held = HeldKey { shared, key: key.as_deref() };
    if let Some(fault) = fault.filter(|f| f.kind == ApiFaultKind::Latency) {
        tokio::time::sleep(Duration::from_millis(fault.ms)).await;
    }
    let stored_failure = fault.is_some_and(|f| f.kind == ApiFaultKind::ServerErrorStored);
    let mut reply = if stored_failure {
        let reply = Reply::refused(&StripeError::server_error(), log_url);
        held.finish(Some(reply.stored(request_id)));
        reply
    } else {
        let ask = Ask { request_id, log_url, version: &ready.version, asked: ready.asked };
        execute(shared, &ask, route, id.clone(), &sent, &mut held)
    };
    held.finish(None);
    overtake(shared, route, &mut reply).await;
    Some(reply)
}

/// What an endpoint's run needs to know of its request.
#[derive(Debug, Clone, Copy)]
struct Ask<'a> {
    request_id: &'a str,
    log_url: &'a str,
    version: &'a str,
    asked: bool,
}

/// A key in use, let go when dropped without an answer.
struct HeldKey<'a> {
    shared: &'a Arc<Shared>,
    key: Option<&'a str>,
}

impl HeldKey<'_> {
    fn finish(&mut self, answer: Option<Stored>) {
        if let Some(key) = self.key.take() {
            self.shared.finish_key(key, answer);
        }
    }
}

impl Drop for HeldKey<'_> {
    fn drop(&mut self) {
        self.finish(None);
    }
}

/// Checks the parameters and runs the endpoint. Once the endpoint has begun, the key keeps its answer.
fn execute(
    shared: &Arc<Shared>,
    ask: &Ask<'_>,
    route: &'static Route,
    id: String,
    sent: &Branch,
    held: &mut HeldKey<'_>,
) -> Reply {
    let judged = |error: StripeError| error.judged_by(&versions::judged_by(ask.version, ask.asked));
    let params = match schema::check(route.fields, sent) {
        Ok(params) => params,
        Err(error) => return Reply::refused(&judged(error), ask.log_url),
    };
    let expansions = params.texts("expand");
    if let Some(error) = expansions.iter().find_map(|path| expand::check(route.kind, path).err()) {
        return Reply::refused(&error, ask.log_url);
    }
    let idle = params.idle(route.fields);
    let call = Call { id, params, version: ask.version.to_owned() };
    let cause =
        Cause { request: Some(ask.request_id.to_owned()), idempotency_key: held.key.map(str::to_owned) };
    let run = |world: &mut World| {
        let answer =
            metadata_fits(world, &call).and_then(|()| (route.handler)(world, &call)).map(|mut answer| {
                for path in &expansions {
                    expand::apply(world, &mut answer, &path.split('.').collect::<Vec<_>>());
                }
                versions::shape(world, &mut answer, ask.version);
                answer
            });
        match answer {
            Ok(answer) => (Reply::ok(&answer, idle), true),
            Err(error) => {
                let executed = error.executed;
                (Reply::refused(&judged(error), ask.log_url), executed)
            }
        }
    };
    let ((mut reply, _), events) = shared.change_for_key(cause, run, |(reply, executed)| {
        let key = if *executed { held.key.take() } else { None };
        key.map(|key| (key, reply.stored(ask.request_id)))
    });
    reply.events = events;
    reply
}

/// The limit on metadata is one on the object, not only on a request.
fn metadata_fits(world: &World, call: &Call) -> Result<(), StripeError> {
    let sent = call.params.get("metadata").filter(|_| !call.id.is_empty());
    let object = sent.and_then(|_| world.object(&call.id));
    match object.and_then(|object| rules::too_much_metadata(&object, sent)) {
        None => Ok(()),
        Some(count) => {
            let message =
                format!("Metadata can have up to 50 keys, but this object would have {count} keys.");
            Err(StripeError::invalid("metadata", None, message))
        }
    }
}

/// Faults that let a webhook overtake the answer.
async fn overtake(shared: &Arc<Shared>, route: &Route, reply: &mut Reply) {
    let (wait, card) =
        shared.read(|world| (world.faults.webhook_before_answer, world.faults.pay_before_answer.clone()));
    let created =
        route.path == "/v1/checkout/sessions" && route.method == Method::POST && reply.status == 200;
    let paid = created && card.is_some();
    if let (true, Some(card)) = (created, card) {
        let id =
            serde_json::from_str::<Value>(&reply.body).ok().and_then(|v| v["id"].as_str().map(str::to_owned));
        let outcome = shared.pay(&id.unwrap_or_default(), &card);
        reply.events.extend(outcome.map(|(_, events)| events).unwrap_or_default());
    }
    // A session in setup mode tells of its setup intent; nobody waits for that.
    if (wait || paid) && !reply.events.is_empty() {
        shared.attempted(&reply.events, WEBHOOK_WAIT).await;
    }
}

fn html() -> Reply {
    Reply {
        status: 502,
        body: "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>Bad Gateway</body>\n</html>\n"
            .to_owned(),
        headers: vec![("content-type", "text/html".to_owned())],
        events: Vec::new(),
        why: None,
    }
}

fn replay(stored: Stored) -> Reply {
    let headers = vec![("idempotent-replayed", "true".to_owned()), ("original-request", stored.request)];
    Reply { status: stored.status, body: stored.body.text(), headers, events: Vec::new(), why: None }
}

/// `Stripe-Version`, which must be one, or the account's own.
fn version(shared: &Shared, request: &Request) -> Result<(String, bool), StripeError> {
    let Some(header) = request.headers.get("stripe-version") else {
        let account = shared.read(|world| world.api_version.clone());
        // The fixtures of Stripe's own command line tool name methods for sessions, as accounts did until lately.
        let cli = request.header("user-agent").is_some_and(|agent| agent.contains("stripe-cli/"));
        let version = if cli { account.min(versions::OF_CLI.to_owned()) } else { account };
        return Ok((version, false));
    };
    let text = String::from_utf8_lossy(header.as_bytes());
    if versions::is_version(&text) {
        return Ok((text.into_owned(), true));
    }
    Err(StripeError::invalid("", None, format!("Invalid Stripe API version: {}", super::error::clip(&text))))
}

fn idempotency_key(request: &Request) -> Result<Option<String>, StripeError> {
    if request.method != Method::POST {
        return Ok(None);
    }
    let Some(key) = request.header("idempotency-key").filter(|key| !key.is_empty()) else { return Ok(None) };
    if key.chars().count() > idempotency::MAX_KEY_CHARS {
        let message = format!(
            "Idempotency keys can be at most {} characters long; the one given has {}.",
            idempotency::MAX_KEY_CHARS,
            key.chars().count()
        );
        return Err(StripeError::invalid("", None, message));
    }
    Ok(Some(key.to_owned()))
}

/// The parameters of query and body.
fn parameters(request: &Request) -> Result<Branch, StripeError> {
    let mut sent = Branch::new();
    form::decode(request.query.as_bytes(), &mut sent)?;
    let body = request.body.as_ref().map_err(Clone::clone)?;
    if body.is_empty() {
        return Ok(sent);
    }
    let kind = request.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/x-www-form-urlencoded" {
        let message = "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If \
                       you have any questions, we can help at https://support.stripe.com/.";
        return Err(StripeError::invalid("", None, message));
    }
    form::decode(body, &mut sent)?;
    Ok(sent)
}

fn render(request: &Request, request_id: &str, version: &str, reply: Reply, cut: bool) -> Response<Body> {
    let length = reply.body.len();
    let body = if cut { half(&reply.body) } else { Body::from(reply.body) };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("content-type", "application/json");
    put("cache-control", "no-cache, no-store");
    put("request-id", request_id);
    put("stripe-version", version);
    if let Some(key) = request.header("idempotency-key").filter(|_| request.method == Method::POST) {
        put("idempotency-key", key);
        put("original-request", request_id);
    }
    for (name, value) in &reply.headers {
        put(name, value);
    }
    if cut {
        put("content-length", &length.to_string());
    }
    response
}

/// Half the text, then an error: the server closes the connection in the middle of the answer.
fn half(text: &str) -> Body {
    let bytes = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let cut = async {
        // The first half must have left before the connection is closed.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::other("the answer is cut short by a fault"))
    };
    Body::from_stream(stream::iter([Ok(bytes)]).chain(stream::once(cut)))
}
