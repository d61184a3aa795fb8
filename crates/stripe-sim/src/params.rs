//! The parameters of every endpoint. Names and limits follow Stripe's API reference and the type
//! declarations of the official Node library for API version 2026-10-28.endive.

use super::schema::Kind::{
    Bool, Currency, Decimal, Email, Int, List, Metadata, Object, OneOf, Opaque, Range, Text, Url, Web,
};
use super::schema::{Field, Kind, clear, idle, must, opt};

/// No parameters but `expand`.
pub(crate) static EXPAND: [Field; 1] = [opt("expand", List(&Text(500), 20))];
/// Not even that.
pub(crate) static NONE: [Field; 0] = [];

const ID: Kind = Text(5_000);
const AMOUNT: Kind = Int { min: 0, max: 999_999_999_999 };
const POSITIVE: Kind = Int { min: 1, max: 999_999_999_999 };
const SECONDS: Kind = Int { min: 0, max: 9_999_999_999 };
const PAGE_SIZE: Kind = Int { min: 1, max: 100 };
const EXPANSIONS: Kind = List(&Text(500), 20);
const METHODS: Kind = List(&Text(100), 60);
const CAPTURE: Kind = OneOf(&["automatic", "automatic_async", "manual"]);
const FUTURE_USE: Kind = OneOf(&["off_session", "on_session"]);

static ENABLED: [Field; 1] = [must("enabled", Bool)];
static MAYBE_ENABLED: [Field; 1] = [opt("enabled", Bool)];

static ADDRESS: [Field; 6] = [
    clear("city", Text(5_000)),
    clear("country", Text(5_000)),
    clear("line1", Text(5_000)),
    clear("line2", Text(5_000)),
    clear("postal_code", Text(5_000)),
    clear("state", Text(5_000)),
];
static SHIPPING: [Field; 5] = [
    must("address", Object(&ADDRESS)),
    must("name", Text(5_000)),
    opt("carrier", Text(5_000)),
    opt("phone", Text(5_000)),
    opt("tracking_number", Text(5_000)),
];

static TAX_DETAILS: [Field; 2] = [opt("performance_location", Text(5_000)), clear("tax_code", Text(5_000))];
static PRODUCT_DATA: [Field; 7] = [
    must("name", Text(5_000)),
    opt("description", Text(40_000)),
    opt("images", List(&Url, 8)),
    opt("metadata", Metadata),
    opt("tax_code", Text(5_000)),
    opt("tax_details", Object(&TAX_DETAILS)),
    opt("unit_label", Text(12)),
];
static RECURRING: [Field; 2] =
    [must("interval", OneOf(&["day", "month", "week", "year"])), opt("interval_count", POSITIVE)];
static PRICE_DATA: [Field; 7] = [
    must("currency", Currency),
    opt("product", ID),
    opt("product_data", Object(&PRODUCT_DATA)),
    opt("recurring", Object(&RECURRING)),
    opt("tax_behavior", OneOf(&["exclusive", "inclusive", "unspecified"])),
    opt("unit_amount", AMOUNT),
    opt("unit_amount_decimal", Decimal),
];
static ADJUSTABLE: [Field; 3] = [must("enabled", Bool), opt("maximum", AMOUNT), opt("minimum", AMOUNT)];
static LINE_ITEM: [Field; 7] = [
    opt("adjustable_quantity", Object(&ADJUSTABLE)),
    opt("dynamic_tax_rates", Opaque),
    opt("metadata", Metadata),
    opt("price", ID),
    opt("price_data", Object(&PRICE_DATA)),
    opt("quantity", Int { min: 0, max: 999_999 }),
    opt("tax_rates", List(&ID, 5)),
];

static TRANSFER_DATA: [Field; 5] = [
    opt("amount", AMOUNT),
    opt("description", Text(1_000)),
    must("destination", ID),
    opt("metadata", Metadata),
    opt("payment_data", Opaque),
];
static SESSION_INTENT_DATA: [Field; 12] = [
    idle(opt("application_fee_amount", AMOUNT)),
    opt("capture_method", CAPTURE),
    opt("description", Text(1_000)),
    opt("metadata", Metadata),
    idle(opt("on_behalf_of", ID)),
    opt("receipt_email", Email),
    opt("setup_future_usage", FUTURE_USE),
    opt("shipping", Object(&SHIPPING)),
    opt("statement_descriptor", Text(22)),
    opt("statement_descriptor_suffix", Text(22)),
    idle(opt("transfer_data", Object(&TRANSFER_DATA))),
    opt("transfer_group", Text(5_000)),
];

static RECOVERY: [Field; 2] = [opt("allow_promotion_codes", Bool), must("enabled", Bool)];
static AFTER_EXPIRATION: [Field; 1] = [opt("recovery", Object(&RECOVERY))];
static LIABILITY: [Field; 2] = [opt("account", ID), must("type", OneOf(&["account", "self"]))];
static AUTOMATIC_TAX: [Field; 2] = [must("enabled", Bool), opt("liability", Object(&LIABILITY))];
static REUSE_AGREEMENT: [Field; 1] = [must("position", OneOf(&["auto", "hidden"]))];
static CONSENT: [Field; 3] = [
    opt("payment_method_reuse_agreement", Object(&REUSE_AGREEMENT)),
    opt("promotions", OneOf(&["auto", "none"])),
    opt("terms_of_service", OneOf(&["none", "required"])),
];
static DROPDOWN_OPTION: [Field; 2] = [must("label", Text(100)), must("value", Text(100))];
static DROPDOWN: [Field; 2] =
    [opt("default_value", Text(100)), must("options", List(&Object(&DROPDOWN_OPTION), 200))];
static CUSTOM_LABEL: [Field; 2] = [must("custom", Text(50)), must("type", OneOf(&["custom"]))];
static CUSTOM_TEXT_INPUT: [Field; 3] =
    [opt("default_value", Text(255)), opt("maximum_length", AMOUNT), opt("minimum_length", AMOUNT)];
static CUSTOM_FIELD: [Field; 7] = [
    opt("dropdown", Object(&DROPDOWN)),
    must("key", Text(200)),
    must("label", Object(&CUSTOM_LABEL)),
    opt("numeric", Object(&CUSTOM_TEXT_INPUT)),
    opt("optional", Bool),
    opt("text", Object(&CUSTOM_TEXT_INPUT)),
    must("type", OneOf(&["dropdown", "numeric", "text"])),
];
static MESSAGE: [Field; 1] = [must("message", Text(1_200))];
static CUSTOM_TEXT: [Field; 4] = [
    clear("after_submit", Object(&MESSAGE)),
    clear("shipping_address", Object(&MESSAGE)),
    clear("submit", Object(&MESSAGE)),
    clear("terms_of_service_acceptance", Object(&MESSAGE)),
];
const NEVER: Kind = OneOf(&["auto", "never"]);
static CUSTOMER_UPDATE: [Field; 3] = [opt("address", NEVER), opt("name", NEVER), opt("shipping", NEVER)];
static DISCOUNT: [Field; 3] = [opt("coupon", ID), opt("coupon_data", Opaque), opt("promotion_code", ID)];
static INVOICE_LINE: [Field; 2] = [must("name", Text(40)), must("value", Text(140))];
static INVOICE_RENDERING: [Field; 2] =
    [clear("amount_tax_display", OneOf(&["exclude_tax", "include_inclusive_tax"])), opt("template", ID)];
static INVOICE_DATA: [Field; 7] = [
    clear("account_tax_ids", List(&ID, 5)),
    clear("custom_fields", List(&Object(&INVOICE_LINE), 4)),
    opt("description", Text(1_500)),
    opt("footer", Text(5_000)),
    opt("issuer", Object(&LIABILITY)),
    opt("metadata", Metadata),
    clear("rendering_options", Object(&INVOICE_RENDERING)),
];
static INVOICE_CREATION: [Field; 2] = [must("enabled", Bool), opt("invoice_data", Object(&INVOICE_DATA))];
static PICTURE: [Field; 3] = [opt("file", ID), must("type", OneOf(&["file", "url"])), opt("url", Url)];
static BRANDING: [Field; 7] = [
    clear("background_color", Text(7)),
    clear("border_style", OneOf(&["pill", "rectangular", "rounded"])),
    clear("button_color", Text(7)),
    opt("display_name", Text(5_000)),
    clear("font_family", Text(100)),
    opt("icon", Object(&PICTURE)),
    opt("logo", Object(&PICTURE)),
];
static LINK: [Field; 1] = [opt("display", OneOf(&["auto", "never"]))];
static WALLETS: [Field; 1] = [opt("link", Object(&LINK))];
static NAME_RULE: [Field; 2] = [must("enabled", Bool), opt("optional", Bool)];
static NAME_COLLECTION: [Field; 2] =
    [opt("business", Object(&NAME_RULE)), opt("individual", Object(&NAME_RULE))];
static OPTIONAL_ITEM: [Field; 3] =
    [opt("adjustable_quantity", Object(&ADJUSTABLE)), must("price", ID), must("quantity", AMOUNT)];
static PERMISSIONS: [Field; 1] = [opt("update_shipping_details", OneOf(&["client_only", "server_only"]))];
static SAVED_METHODS: [Field; 3] = [
    opt("allow_redisplay_filters", List(&OneOf(&["always", "limited", "unspecified"]), 3)),
    opt("payment_method_remove", OneOf(&["disabled", "enabled"])),
    opt("payment_method_save", OneOf(&["disabled", "enabled"])),
];
static SHIPPING_COLLECTION: [Field; 1] = [must("allowed_countries", List(&Text(2), 300))];
static FIXED_AMOUNT: [Field; 3] =
    [must("amount", AMOUNT), must("currency", Currency), opt("currency_options", Opaque)];
static SHIPPING_RATE_DATA: [Field; 7] = [
    opt("delivery_estimate", Opaque),
    must("display_name", Text(100)),
    opt("fixed_amount", Object(&FIXED_AMOUNT)),
    opt("metadata", Metadata),
    opt("tax_behavior", OneOf(&["exclusive", "inclusive", "unspecified"])),
    opt("tax_code", Text(5_000)),
    opt("type", OneOf(&["fixed_amount"])),
];
static SHIPPING_OPTION: [Field; 2] =
    [opt("shipping_rate", ID), opt("shipping_rate_data", Object(&SHIPPING_RATE_DATA))];
static TAX_IDS: [Field; 2] = [must("enabled", Bool), opt("required", OneOf(&["if_supported", "never"]))];

/// Every language that the payment page may be asked for.
const LOCALES: Kind = OneOf(&[
    "auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA",
    "hi-IN", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR",
    "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW",
]);

/// `POST /v1/checkout/sessions`. `payment_method_types` and the older `ui_mode`s are accepted or
/// refused by the requested API version, in the endpoint.
pub(crate) static SESSION_CREATE: [Field; 52] = [
    idle(opt("adaptive_pricing", Object(&MAYBE_ENABLED))),
    opt("after_expiration", Object(&AFTER_EXPIRATION)),
    opt("allow_promotion_codes", Bool),
    opt("allowed_payment_method_types", METHODS),
    opt("automatic_tax", Object(&AUTOMATIC_TAX)),
    idle(opt("billing_address_collection", OneOf(&["auto", "required"]))),
    opt("branding_settings", Object(&BRANDING)),
    opt("cancel_url", Url),
    opt("client_reference_id", Text(200)),
    opt("consent_collection", Object(&CONSENT)),
    opt("currency", Currency),
    opt("custom_fields", List(&Object(&CUSTOM_FIELD), 3)),
    opt("custom_text", Object(&CUSTOM_TEXT)),
    opt("customer", ID),
    idle(opt("customer_account", ID)),
    opt("customer_creation", OneOf(&["always", "if_required"])),
    opt("customer_email", Email),
    idle(opt("customer_update", Object(&CUSTOMER_UPDATE))),
    opt("discounts", List(&Object(&DISCOUNT), 20)),
    opt("excluded_payment_method_types", METHODS),
    opt("expand", EXPANSIONS),
    opt("expires_at", SECONDS),
    idle(opt("integration_identifier", Text(200))),
    opt("invoice_creation", Object(&INVOICE_CREATION)),
    opt("line_items", List(&Object(&LINE_ITEM), 100)),
    opt("locale", LOCALES),
    idle(opt("managed_payments", Object(&MAYBE_ENABLED))),
    opt("metadata", Metadata),
    opt("mode", OneOf(&["payment", "setup", "subscription"])),
    idle(opt("name_collection", Object(&NAME_COLLECTION))),
    idle(opt("optional_items", List(&Object(&OPTIONAL_ITEM), 10))),
    idle(opt("origin_context", OneOf(&["mobile_app", "web"]))),
    opt("payment_intent_data", Object(&SESSION_INTENT_DATA)),
    idle(opt("payment_method_collection", OneOf(&["always", "if_required"]))),
    idle(opt("payment_method_configuration", ID)),
    idle(opt("payment_method_data", Opaque)),
    opt("payment_method_options", Opaque),
    opt("payment_method_types", METHODS),
    idle(opt("permissions", Object(&PERMISSIONS))),
    opt("phone_number_collection", Object(&ENABLED)),
    opt("redirect_on_completion", OneOf(&["always", "if_required", "never"])),
    opt("return_url", Url),
    idle(opt("saved_payment_method_options", Object(&SAVED_METHODS))),
    opt("setup_intent_data", Object(&SETUP_DATA)),
    opt("shipping_address_collection", Object(&SHIPPING_COLLECTION)),
    opt("shipping_options", List(&Object(&SHIPPING_OPTION), 5)),
    opt("submit_type", OneOf(&["auto", "book", "donate", "pay", "subscribe"])),
    opt("subscription_data", Opaque),
    opt("success_url", Url),
    idle(opt("tax_id_collection", Object(&TAX_IDS))),
    opt(
        "ui_mode",
        OneOf(&["elements", "embedded_page", "form", "hosted_page", "custom", "embedded", "hosted"]),
    ),
    idle(opt("wallet_options", Object(&WALLETS))),
];

static SETUP_DATA: [Field; 3] =
    [opt("description", Text(1_000)), opt("metadata", Metadata), idle(opt("on_behalf_of", ID))];

/// `POST /v1/checkout/sessions/{id}`.
pub(crate) static SESSION_UPDATE: [Field; 6] = [
    opt("collected_information", Opaque),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    opt("payment_intent_data", Object(&SESSION_INTENT_DATA)),
    clear("shipping_options", Opaque),
    opt("line_items", Opaque),
];

static CUSTOMER_DETAILS_FILTER: [Field; 1] = [must("email", Text(800))];

/// `GET /v1/checkout/sessions`.
pub(crate) static SESSION_LIST: [Field; 12] = [
    opt("created", Range),
    opt("customer", ID),
    opt("customer_account", ID),
    opt("customer_details", Object(&CUSTOMER_DETAILS_FILTER)),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("payment_intent", ID),
    opt("payment_link", ID),
    opt("starting_after", ID),
    opt("status", OneOf(&["complete", "expired", "open"])),
    opt("subscription", ID),
];

/// Lists without filters of their own.
pub(crate) static PAGE: [Field; 4] =
    [opt("ending_before", ID), opt("expand", EXPANSIONS), opt("limit", PAGE_SIZE), opt("starting_after", ID)];

static AUTOMATIC_METHODS: [Field; 2] =
    [opt("allow_redirects", OneOf(&["always", "never"])), must("enabled", Bool)];

/// `POST /v1/payment_intents`.
pub(crate) static INTENT_CREATE: [Field; 38] = [
    must("amount", POSITIVE),
    must("currency", Currency),
    idle(opt("allowed_payment_method_types", METHODS)),
    idle(opt("amount_details", Opaque)),
    idle(opt("application_fee_amount", AMOUNT)),
    opt("automatic_payment_methods", Object(&AUTOMATIC_METHODS)),
    opt("capture_method", CAPTURE),
    opt("confirm", Bool),
    opt("confirmation_method", OneOf(&["automatic", "manual"])),
    idle(opt("confirmation_token", ID)),
    opt("customer", ID),
    idle(opt("customer_account", ID)),
    opt("description", Text(1_000)),
    idle(opt("error_on_requires_action", Bool)),
    idle(opt("excluded_payment_method_types", METHODS)),
    opt("expand", EXPANSIONS),
    idle(opt("hooks", Opaque)),
    idle(opt("mandate", ID)),
    idle(clear("mandate_data", Opaque)),
    opt("metadata", Metadata),
    idle(opt("off_session", Opaque)),
    idle(opt("on_behalf_of", ID)),
    idle(opt("payment_details", Opaque)),
    opt("payment_method", ID),
    idle(opt("payment_method_configuration", ID)),
    opt("payment_method_data", Opaque),
    idle(opt("payment_method_options", Opaque)),
    opt("payment_method_types", METHODS),
    idle(opt("radar_options", Opaque)),
    opt("receipt_email", Email),
    opt("return_url", Url),
    opt("setup_future_usage", FUTURE_USE),
    opt("shipping", Object(&SHIPPING)),
    opt("statement_descriptor", Text(22)),
    opt("statement_descriptor_suffix", Text(22)),
    idle(opt("transfer_data", Object(&TRANSFER_DATA))),
    opt("transfer_group", Text(5_000)),
    idle(opt("use_stripe_sdk", Bool)),
];

/// `GET /v1/payment_intents/{id}`; the secret is how a browser asks.
pub(crate) static INTENT_RETRIEVE: [Field; 2] = [opt("client_secret", ID), opt("expand", EXPANSIONS)];

/// `POST /v1/payment_intents/{id}`.
pub(crate) static INTENT_UPDATE: [Field; 26] = [
    opt("amount", POSITIVE),
    opt("currency", Currency),
    opt("customer", ID),
    opt("description", Text(1_000)),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    opt("payment_method", ID),
    clear("receipt_email", Email),
    clear("shipping", Object(&SHIPPING)),
    opt("statement_descriptor_suffix", Text(22)),
    opt("transfer_group", Text(5_000)),
    idle(opt("allowed_payment_method_types", METHODS)),
    idle(opt("amount_details", Opaque)),
    idle(opt("application_fee_amount", AMOUNT)),
    idle(opt("capture_method", CAPTURE)),
    idle(opt("customer_account", ID)),
    idle(opt("excluded_payment_method_types", METHODS)),
    idle(opt("hooks", Opaque)),
    idle(opt("payment_details", Opaque)),
    idle(opt("payment_method_configuration", ID)),
    opt("payment_method_data", Opaque),
    idle(opt("payment_method_options", Opaque)),
    idle(opt("payment_method_types", METHODS)),
    clear("setup_future_usage", FUTURE_USE),
    opt("statement_descriptor", Text(22)),
    idle(opt("transfer_data", Opaque)),
];

/// `POST /v1/payment_intents/{id}/confirm`.
pub(crate) static INTENT_CONFIRM: [Field; 23] = [
    idle(opt("capture_method", CAPTURE)),
    idle(opt("confirmation_token", ID)),
    idle(opt("error_on_requires_action", Bool)),
    opt("expand", EXPANSIONS),
    idle(opt("mandate", ID)),
    idle(clear("mandate_data", Opaque)),
    idle(opt("off_session", Opaque)),
    opt("payment_method", ID),
    opt("payment_method_data", Opaque),
    idle(opt("payment_method_options", Opaque)),
    idle(clear("receipt_email", Email)),
    opt("return_url", Url),
    idle(clear("setup_future_usage", FUTURE_USE)),
    idle(clear("shipping", Object(&SHIPPING))),
    idle(opt("use_stripe_sdk", Bool)),
    idle(opt("allowed_payment_method_types", METHODS)),
    idle(opt("amount_details", Opaque)),
    idle(opt("amount_to_confirm", POSITIVE)),
    idle(opt("excluded_payment_method_types", METHODS)),
    idle(opt("hooks", Opaque)),
    idle(opt("payment_details", Opaque)),
    idle(opt("payment_method_types", METHODS)),
    idle(opt("radar_options", Opaque)),
];

/// `POST /v1/payment_intents/{id}/capture`.
pub(crate) static INTENT_CAPTURE: [Field; 11] = [
    opt("amount_to_capture", POSITIVE),
    opt("expand", EXPANSIONS),
    idle(opt("final_capture", Bool)),
    idle(clear("metadata", Metadata)),
    idle(opt("statement_descriptor", Text(22))),
    idle(opt("statement_descriptor_suffix", Text(22))),
    idle(opt("amount_details", Opaque)),
    idle(opt("application_fee_amount", AMOUNT)),
    idle(opt("hooks", Opaque)),
    idle(opt("payment_details", Opaque)),
    idle(opt("transfer_data", Opaque)),
];

/// `POST /v1/payment_intents/{id}/cancel`.
pub(crate) static INTENT_CANCEL: [Field; 2] = [
    opt("cancellation_reason", OneOf(&["abandoned", "duplicate", "fraudulent", "requested_by_customer"])),
    opt("expand", EXPANSIONS),
];

/// `GET /v1/payment_intents`.
pub(crate) static INTENT_LIST: [Field; 7] = [
    opt("created", Range),
    opt("customer", ID),
    opt("customer_account", ID),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `POST /v1/charges`.
pub(crate) static CHARGE_CREATE: [Field; 19] = [
    must("amount", POSITIVE),
    idle(opt("application_fee_amount", AMOUNT)),
    opt("capture", Bool),
    must("currency", Currency),
    opt("customer", ID),
    opt("description", Text(40_000)),
    opt("expand", EXPANSIONS),
    opt("metadata", Metadata),
    idle(opt("on_behalf_of", ID)),
    opt("receipt_email", Email),
    opt("shipping", Object(&SHIPPING)),
    opt("source", ID),
    opt("statement_descriptor", Text(22)),
    opt("statement_descriptor_suffix", Text(22)),
    idle(opt("transfer_data", Object(&TRANSFER_DATA))),
    opt("transfer_group", Text(5_000)),
    idle(opt("application_fee", AMOUNT)),
    idle(opt("destination", Opaque)),
    idle(opt("radar_options", Opaque)),
];

/// `GET /v1/charges`.
pub(crate) static CHARGE_LIST: [Field; 8] = [
    opt("created", Range),
    opt("customer", ID),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("payment_intent", ID),
    opt("starting_after", ID),
    opt("transfer_group", Text(5_000)),
];

/// `POST /v1/charges/{id}`.
pub(crate) static CHARGE_UPDATE: [Field; 8] = [
    clear("description", Text(40_000)),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    clear("receipt_email", Email),
    opt("shipping", Object(&SHIPPING)),
    idle(opt("customer", ID)),
    idle(opt("fraud_details", Opaque)),
    opt("transfer_group", Text(5_000)),
];

/// `POST /v1/charges/{id}/capture`.
pub(crate) static CHARGE_CAPTURE: [Field; 9] = [
    opt("amount", POSITIVE),
    opt("expand", EXPANSIONS),
    idle(opt("receipt_email", Email)),
    idle(opt("application_fee", AMOUNT)),
    idle(opt("application_fee_amount", AMOUNT)),
    idle(opt("statement_descriptor", Text(22))),
    idle(opt("statement_descriptor_suffix", Text(22))),
    idle(opt("transfer_data", Opaque)),
    idle(opt("transfer_group", Text(5_000))),
];

/// `POST /v1/refunds`.
pub(crate) static REFUND_CREATE: [Field; 12] = [
    opt("amount", POSITIVE),
    opt("charge", ID),
    idle(opt("currency", Currency)),
    idle(opt("customer", ID)),
    opt("expand", EXPANSIONS),
    idle(opt("instructions_email", Email)),
    clear("metadata", Metadata),
    idle(opt("origin", OneOf(&["customer_balance"]))),
    opt("payment_intent", ID),
    opt("reason", OneOf(&["duplicate", "fraudulent", "requested_by_customer"])),
    idle(opt("refund_application_fee", Bool)),
    idle(opt("reverse_transfer", Bool)),
];

/// Endpoints that change only the metadata.
pub(crate) static METADATA_UPDATE: [Field; 2] = [opt("expand", EXPANSIONS), clear("metadata", Metadata)];

/// `GET /v1/refunds` and `GET /v1/disputes`.
pub(crate) static BY_CHARGE_LIST: [Field; 7] = [
    opt("charge", ID),
    opt("created", Range),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("payment_intent", ID),
    opt("starting_after", ID),
];

/// `POST /v1/disputes/{id}`.
pub(crate) static DISPUTE_UPDATE: [Field; 5] = [
    opt("evidence", Opaque),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    opt("submit", Bool),
    idle(opt(
        "intended_submission_method",
        OneOf(&["manual", "prefer_manual", "prefer_smart_disputes", "smart_disputes"]),
    )),
];

/// `GET /v1/events`.
pub(crate) static EVENT_LIST: [Field; 8] = [
    opt("created", Range),
    opt("delivery_success", Bool),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
    opt("type", Text(200)),
    opt("types", List(&Text(200), 20)),
];

/// `POST /v1/events/{id}/retry`, which Stripe's command line tool uses.
pub(crate) static EVENT_RETRY: [Field; 4] = [
    opt("account", ID),
    opt("expand", EXPANSIONS),
    idle(opt("for_stripecli", Bool)),
    opt("webhook_endpoint", ID),
];
/// `POST /v1/payment_pages/{session}/confirm`.
pub(crate) static PAGE_CONFIRM: [Field; 4] = [
    opt("expand", EXPANSIONS),
    opt("expected_amount", AMOUNT),
    must("payment_method", ID),
    idle(opt("return_url", Url)),
];

/// `POST /v1/webhook_endpoints`.
pub(crate) static ENDPOINT_CREATE: [Field; 7] = [
    opt("api_version", Text(100)),
    idle(opt("connect", Bool)),
    clear("description", Text(5_000)),
    must("enabled_events", List(&Text(200), 300)),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    must("url", Web),
];

/// `POST /v1/webhook_endpoints/{id}`.
pub(crate) static ENDPOINT_UPDATE: [Field; 6] = [
    clear("description", Text(5_000)),
    opt("disabled", Bool),
    opt("enabled_events", List(&Text(200), 300)),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    opt("url", Web),
];

/// `GET /v1/balance_transactions`.
pub(crate) static TRANSACTION_LIST: [Field; 9] = [
    opt("created", Range),
    opt("currency", Currency),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("payout", ID),
    opt("source", ID),
    opt("starting_after", ID),
    opt("type", Text(100)),
];

/// `POST /v1/products`.
pub(crate) static PRODUCT_CREATE: [Field; 16] = [
    opt("active", Bool),
    opt("default_price_data", Object(&PRICE_DATA_OF_PRODUCT)),
    opt("description", Text(40_000)),
    opt("expand", EXPANSIONS),
    opt("id", Text(5_000)),
    opt("images", List(&Url, 8)),
    idle(opt("marketing_features", Opaque)),
    opt("metadata", Metadata),
    must("name", Text(5_000)),
    idle(opt("package_dimensions", Opaque)),
    idle(opt("shippable", Bool)),
    idle(opt("statement_descriptor", Text(22))),
    idle(opt("tax_code", Text(5_000))),
    idle(opt("tax_details", Opaque)),
    idle(opt("unit_label", Text(12))),
    idle(opt("url", Url)),
];
static PRICE_DATA_OF_PRODUCT: [Field; 5] = [
    must("currency", Currency),
    opt("metadata", Metadata),
    opt("tax_behavior", OneOf(&["exclusive", "inclusive", "unspecified"])),
    opt("unit_amount", AMOUNT),
    opt("unit_amount_decimal", Decimal),
];

/// `POST /v1/products/{id}`.
pub(crate) static PRODUCT_UPDATE: [Field; 7] = [
    opt("active", Bool),
    opt("default_price", ID),
    clear("description", Text(40_000)),
    opt("expand", EXPANSIONS),
    clear("images", List(&Url, 8)),
    clear("metadata", Metadata),
    opt("name", Text(5_000)),
];

/// `POST /v1/prices`.
pub(crate) static PRICE_CREATE: [Field; 13] = [
    opt("active", Bool),
    opt("billing_scheme", OneOf(&["per_unit", "tiered"])),
    must("currency", Currency),
    opt("expand", EXPANSIONS),
    opt("lookup_key", Text(200)),
    opt("metadata", Metadata),
    opt("nickname", Text(5_000)),
    opt("product", ID),
    opt("product_data", Object(&PRODUCT_DATA)),
    opt("recurring", Object(&RECURRING)),
    opt("tax_behavior", OneOf(&["exclusive", "inclusive", "unspecified"])),
    opt("unit_amount", AMOUNT),
    opt("unit_amount_decimal", Decimal),
];

/// `POST /v1/prices/{id}`.
pub(crate) static PRICE_UPDATE: [Field; 5] = [
    opt("active", Bool),
    opt("expand", EXPANSIONS),
    opt("lookup_key", Text(200)),
    clear("metadata", Metadata),
    clear("nickname", Text(5_000)),
];

/// `GET /v1/prices` and `GET /v1/products`.
pub(crate) static CATALOG_LIST: [Field; 10] = [
    opt("active", Bool),
    opt("created", Range),
    opt("ending_before", ID),
    opt("currency", Currency),
    opt("expand", EXPANSIONS),
    opt("ids", List(&ID, 100)),
    opt("limit", PAGE_SIZE),
    opt("lookup_keys", List(&Text(200), 10)),
    opt("product", ID),
    opt("starting_after", ID),
];

/// `POST /v1/customers` and `POST /v1/customers/{id}`.
pub(crate) static CUSTOMER_WRITE: [Field; 10] = [
    clear("address", Object(&ADDRESS)),
    clear("description", Text(5_000)),
    clear("email", Email),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    clear("name", Text(256)),
    clear("phone", Text(20)),
    opt("preferred_locales", List(&Text(20), 20)),
    clear("shipping", Object(&CUSTOMER_SHIPPING)),
    clear("tax_exempt", OneOf(&["exempt", "none", "reverse"])),
];
static CUSTOMER_SHIPPING: [Field; 3] =
    [must("address", Object(&ADDRESS)), must("name", Text(5_000)), opt("phone", Text(5_000))];

/// `GET /v1/customers`.
pub(crate) static CUSTOMER_LIST: [Field; 6] = [
    opt("created", Range),
    opt("email", Text(512)),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

const WHEN: Kind = Int { min: 0, max: 9_999_999_999 };
const REDEMPTIONS: Kind = Int { min: 1, max: 1_000_000_000 };
const BEHAVIOR: Kind = OneOf(&["exclusive", "inclusive", "unspecified"]);
static APPLIES_TO: [Field; 1] = [opt("products", List(&ID, 100))];
static PROMOTION: [Field; 2] = [opt("coupon", ID), must("type", OneOf(&["coupon"]))];
static RESTRICTIONS: [Field; 4] = [
    idle(opt("currency_options", Opaque)),
    opt("first_time_transaction", Bool),
    opt("minimum_amount", POSITIVE),
    opt("minimum_amount_currency", Currency),
];
static REDIRECT: [Field; 1] = [must("url", Url)];
static CONFIRMATION: [Field; 1] = [opt("custom_message", Text(500))];
static AFTER_COMPLETION: [Field; 3] = [
    opt("hosted_confirmation", Object(&CONFIRMATION)),
    opt("redirect", Object(&REDIRECT)),
    must("type", OneOf(&["hosted_confirmation", "redirect"])),
];
static CARD: [Field; 6] = [
    idle(opt("cvc", Text(4))),
    opt("exp_month", AMOUNT),
    opt("exp_year", AMOUNT),
    idle(opt("networks", Opaque)),
    opt("number", Text(30)),
    opt("token", ID),
];
static SEPA: [Field; 1] = [must("iban", Text(50))];
static BILLING: [Field; 5] = [
    clear("address", Object(&ADDRESS)),
    clear("email", Email),
    clear("name", Text(5_000)),
    clear("phone", Text(20)),
    idle(opt("tax_id", Text(50))),
];

/// `POST /v1/coupons`.
pub(crate) static COUPON_CREATE: [Field; 14] = [
    opt("amount_off", POSITIVE),
    opt("applies_to", Object(&APPLIES_TO)),
    opt("currency", Currency),
    idle(opt("currency_options", Opaque)),
    opt("duration", OneOf(&["forever", "once", "repeating"])),
    opt("duration_in_months", POSITIVE),
    opt("expand", EXPANSIONS),
    opt("id", Text(200)),
    opt("max_redemptions", REDEMPTIONS),
    clear("metadata", Metadata),
    opt("name", Text(40)),
    opt("percent_off", Decimal),
    opt("redeem_by", WHEN),
    idle(opt("script", Opaque)),
];

/// `POST /v1/coupons/{id}`.
pub(crate) static COUPON_UPDATE: [Field; 4] = [
    idle(opt("currency_options", Opaque)),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    opt("name", Text(40)),
];

/// Lists by time alone.
pub(crate) static CREATED_LIST: [Field; 5] = [
    opt("created", Range),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `POST /v1/promotion_codes`.
pub(crate) static CODE_CREATE: [Field; 11] = [
    opt("active", Bool),
    opt("code", Text(500)),
    opt("coupon", ID),
    opt("customer", ID),
    idle(opt("customer_account", ID)),
    opt("expand", EXPANSIONS),
    opt("expires_at", WHEN),
    opt("max_redemptions", REDEMPTIONS),
    opt("metadata", Metadata),
    opt("promotion", Object(&PROMOTION)),
    opt("restrictions", Object(&RESTRICTIONS)),
];

/// `POST /v1/promotion_codes/{id}`.
pub(crate) static CODE_UPDATE: [Field; 4] = [
    opt("active", Bool),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    idle(opt("restrictions", Opaque)),
];

/// `GET /v1/promotion_codes`.
pub(crate) static CODE_LIST: [Field; 10] = [
    opt("active", Bool),
    opt("code", Text(500)),
    opt("coupon", ID),
    opt("customer", ID),
    idle(opt("customer_account", ID)),
    opt("created", Range),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `POST /v1/tax_rates`.
pub(crate) static TAX_CREATE: [Field; 11] = [
    opt("active", Bool),
    opt("country", Text(2)),
    opt("description", Text(5_000)),
    must("display_name", Text(50)),
    opt("expand", EXPANSIONS),
    must("inclusive", Bool),
    opt("jurisdiction", Text(50)),
    opt("metadata", Metadata),
    must("percentage", Decimal),
    opt("state", Text(2)),
    opt("tax_type", Text(50)),
];

/// `POST /v1/tax_rates/{id}`.
pub(crate) static TAX_UPDATE: [Field; 9] = [
    opt("active", Bool),
    opt("country", Text(2)),
    opt("description", Text(5_000)),
    opt("display_name", Text(50)),
    opt("expand", EXPANSIONS),
    opt("jurisdiction", Text(50)),
    clear("metadata", Metadata),
    opt("state", Text(2)),
    opt("tax_type", Text(50)),
];

/// `GET /v1/tax_rates`.
pub(crate) static TAX_LIST: [Field; 7] = [
    opt("active", Bool),
    opt("inclusive", Bool),
    opt("created", Range),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `POST /v1/shipping_rates`.
pub(crate) static SHIPPING_RATE_CREATE: [Field; 8] = [
    idle(opt("delivery_estimate", Opaque)),
    must("display_name", Text(100)),
    opt("expand", EXPANSIONS),
    opt("fixed_amount", Object(&FIXED_AMOUNT)),
    opt("metadata", Metadata),
    idle(opt("tax_behavior", BEHAVIOR)),
    idle(opt("tax_code", Text(5_000))),
    opt("type", OneOf(&["fixed_amount"])),
];

/// `POST /v1/shipping_rates/{id}`.
pub(crate) static SHIPPING_RATE_UPDATE: [Field; 5] = [
    opt("active", Bool),
    opt("expand", EXPANSIONS),
    idle(opt("fixed_amount", Opaque)),
    clear("metadata", Metadata),
    idle(opt("tax_behavior", BEHAVIOR)),
];

/// `GET /v1/shipping_rates`.
pub(crate) static SHIPPING_RATE_LIST: [Field; 7] = [
    opt("active", Bool),
    opt("currency", Currency),
    opt("created", Range),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `POST /v1/payment_links`.
pub(crate) static LINK_CREATE: [Field; 32] = [
    opt("after_completion", Object(&AFTER_COMPLETION)),
    opt("allow_promotion_codes", Bool),
    idle(opt("application_fee_amount", AMOUNT)),
    idle(opt("application_fee_percent", Decimal)),
    opt("automatic_tax", Object(&AUTOMATIC_TAX)),
    idle(opt("billing_address_collection", OneOf(&["auto", "required"]))),
    opt("consent_collection", Object(&CONSENT)),
    opt("currency", Currency),
    opt("custom_fields", List(&Object(&CUSTOM_FIELD), 3)),
    opt("custom_text", Object(&CUSTOM_TEXT)),
    opt("customer_creation", OneOf(&["always", "if_required"])),
    opt("expand", EXPANSIONS),
    idle(opt("inactive_message", Text(500))),
    idle(opt("invoice_creation", Opaque)),
    must("line_items", List(&Object(&LINE_ITEM), 20)),
    idle(opt("managed_payments", Opaque)),
    opt("metadata", Metadata),
    idle(opt("name_collection", Object(&NAME_COLLECTION))),
    idle(opt("on_behalf_of", ID)),
    idle(opt("optional_items", Opaque)),
    opt("payment_intent_data", Object(&SESSION_INTENT_DATA)),
    idle(opt("payment_method_collection", OneOf(&["always", "if_required"]))),
    idle(opt("payment_method_options", Opaque)),
    idle(opt("payment_method_types", METHODS)),
    opt("phone_number_collection", Object(&ENABLED)),
    idle(opt("restrictions", Opaque)),
    opt("shipping_address_collection", Object(&SHIPPING_COLLECTION)),
    opt("shipping_options", List(&Object(&SHIPPING_OPTION), 5)),
    opt("submit_type", OneOf(&["auto", "book", "donate", "pay", "subscribe"])),
    opt("subscription_data", Opaque),
    idle(opt("tax_id_collection", Opaque)),
    idle(opt("transfer_data", Opaque)),
];

/// `POST /v1/payment_links/{id}`.
pub(crate) static LINK_UPDATE: [Field; 5] = [
    opt("active", Bool),
    opt("allow_promotion_codes", Bool),
    opt("expand", EXPANSIONS),
    idle(opt("inactive_message", Text(500))),
    clear("metadata", Metadata),
];

/// `GET /v1/payment_links`.
pub(crate) static LINK_LIST: [Field; 5] = [
    opt("active", Bool),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `POST /v1/payment_methods`.
pub(crate) static METHOD_CREATE: [Field; 10] = [
    idle(opt("allow_redisplay", OneOf(&["always", "limited", "unspecified"]))),
    opt("billing_details", Object(&BILLING)),
    opt("card", Object(&CARD)),
    idle(opt("customer", ID)),
    opt("expand", EXPANSIONS),
    opt("metadata", Metadata),
    idle(opt("payment_method", ID)),
    idle(opt("radar_options", Opaque)),
    opt("sepa_debit", Object(&SEPA)),
    must("type", Text(50)),
];

/// `POST /v1/payment_methods/{id}`.
pub(crate) static METHOD_UPDATE: [Field; 5] = [
    idle(opt("allow_redisplay", OneOf(&["always", "limited", "unspecified"]))),
    opt("billing_details", Object(&BILLING)),
    idle(opt("card", Opaque)),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
];

/// `POST /v1/payment_methods/{id}/attach`.
pub(crate) static METHOD_ATTACH: [Field; 3] =
    [opt("customer", ID), idle(opt("customer_account", ID)), opt("expand", EXPANSIONS)];

/// `GET /v1/payment_methods` and `GET /v1/customers/{id}/payment_methods`.
pub(crate) static METHOD_LIST: [Field; 8] = [
    idle(opt("allow_redisplay", Text(20))),
    opt("customer", ID),
    idle(opt("customer_account", ID)),
    opt("type", Text(50)),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `POST /v1/setup_intents`.
pub(crate) static SETUP_CREATE: [Field; 17] = [
    idle(opt("attach_to_self", Bool)),
    opt("automatic_payment_methods", Object(&AUTOMATIC_METHODS)),
    opt("confirm", Bool),
    opt("customer", ID),
    opt("description", Text(1_000)),
    opt("expand", EXPANSIONS),
    idle(opt("flow_directions", Opaque)),
    idle(clear("mandate_data", Opaque)),
    opt("metadata", Metadata),
    idle(opt("on_behalf_of", ID)),
    opt("payment_method", ID),
    opt("payment_method_data", Opaque),
    idle(opt("payment_method_options", Opaque)),
    opt("payment_method_types", METHODS),
    idle(opt("return_url", Url)),
    opt("usage", FUTURE_USE),
    idle(opt("use_stripe_sdk", Bool)),
];

/// `POST /v1/setup_intents/{id}`.
pub(crate) static SETUP_UPDATE: [Field; 7] = [
    opt("customer", ID),
    opt("description", Text(1_000)),
    opt("expand", EXPANSIONS),
    clear("metadata", Metadata),
    opt("payment_method", ID),
    opt("payment_method_data", Opaque),
    idle(opt("payment_method_options", Opaque)),
];

/// `POST /v1/setup_intents/{id}/confirm`.
pub(crate) static SETUP_CONFIRM: [Field; 7] = [
    opt("expand", EXPANSIONS),
    idle(clear("mandate_data", Opaque)),
    opt("payment_method", ID),
    opt("payment_method_data", Opaque),
    idle(opt("payment_method_options", Opaque)),
    idle(opt("return_url", Url)),
    idle(opt("use_stripe_sdk", Bool)),
];

/// `GET /v1/setup_intents`.
pub(crate) static SETUP_LIST: [Field; 9] = [
    idle(opt("attach_to_self", Bool)),
    opt("customer", ID),
    idle(opt("customer_account", ID)),
    opt("payment_method", ID),
    opt("created", Range),
    opt("ending_before", ID),
    opt("expand", EXPANSIONS),
    opt("limit", PAGE_SIZE),
    opt("starting_after", ID),
];

/// `GET /v1/…/search`.
pub(crate) static SEARCH: [Field; 4] =
    [opt("expand", EXPANSIONS), opt("limit", PAGE_SIZE), opt("page", ID), must("query", Text(1_000))];
