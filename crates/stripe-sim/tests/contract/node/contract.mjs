// The official Node library against the simulated Stripe. Prints each test and `N passed, N failed`.

import assert from 'node:assert/strict';
import http from 'node:http';
import Stripe from 'stripe';
import { literals, parameters, wrongs } from './shapes.mjs';

const base = new URL(process.env.STRIPE_API_BASE);
const at = { host: base.hostname, port: base.port, protocol: 'http' };
const stripe = new Stripe('sk_test_contract', { ...at, maxNetworkRetries: 0 });

const tests = [];
const test = (name, run) => tests.push([name, run]);

/** The control API of the simulator. */
async function control(path, body) {
  const response = await fetch(new URL(`/_sim/${path}`, base), {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

/** The answer as it came, before the library changes it. */
async function raw(path) {
  const response = await fetch(new URL(path, base), { headers: { authorization: 'Bearer sk_test_contract' } });
  return response.json();
}

const item = (amount = 2000, currency = 'eur') => ({
  price_data: { currency, unit_amount: amount, product_data: { name: 'Séance' } },
  quantity: 1,
});
const open = (more = {}) =>
  stripe.checkout.sessions.create({
    mode: 'payment',
    success_url: 'https://shop.example/ok?session_id={CHECKOUT_SESSION_ID}',
    line_items: [item()],
    ...more,
  });
async function paid(more = {}, pay = { card: '4242424242424242' }) {
  const session = await open(more);
  await control(`sessions/${session.id}/pay`, pay);
  return stripe.checkout.sessions.retrieve(session.id, { expand: ['payment_intent.latest_charge'] });
}
const fails = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail('it was expected to be refused');
};
const shaped = (value, file, name) => assert.deepEqual(wrongs(value, file, name), []);

test('a session with all common parameters is made and comes back the same', async () => {
  const now = Math.floor(Date.now() / 1000);
  const session = await open({
    line_items: [item(2000), { ...item(500), quantity: 3, adjustable_quantity: { enabled: true, maximum: 5 } }],
    cancel_url: 'https://shop.example/cancel',
    client_reference_id: 'booking-1',
    customer_email: 'ada@example.com',
    expires_at: now + 3600,
    metadata: { booking: 'b_1', clé: 'é & = + %' },
    payment_intent_data: {
      metadata: { booking: 'b_1' },
      description: 'Séance',
      receipt_email: 'ada@example.com',
      capture_method: 'automatic',
      setup_future_usage: 'off_session',
      statement_descriptor_suffix: 'SEANCE',
      shipping: { name: 'Ada', address: { line1: '1 rue X', city: 'Paris', country: 'FR' } },
    },
    locale: 'fr',
    submit_type: 'book',
    ui_mode: 'hosted_page',
    billing_address_collection: 'required',
    phone_number_collection: { enabled: true },
    allow_promotion_codes: true,
    automatic_tax: { enabled: true },
    adaptive_pricing: { enabled: true },
    customer_creation: 'always',
    invoice_creation: { enabled: false },
    after_expiration: { recovery: { enabled: true } },
    consent_collection: { terms_of_service: 'required', promotions: 'auto' },
    custom_fields: [
      { key: 'size', label: { type: 'custom', custom: 'Size' }, type: 'dropdown', dropdown: { options: [{ label: 'S', value: 's' }] } },
      { key: 'note', label: { type: 'custom', custom: 'Note' }, type: 'text', optional: true },
    ],
    custom_text: { submit: { message: 'Thank you' } },
    shipping_address_collection: { allowed_countries: ['FR', 'BE'] },
    shipping_options: [
      { shipping_rate_data: { display_name: 'Post', type: 'fixed_amount', fixed_amount: { amount: 300, currency: 'eur' } } },
    ],
    tax_id_collection: { enabled: true },
    saved_payment_method_options: { payment_method_save: 'enabled' },
    name_collection: { individual: { enabled: true } },
    permissions: { update_shipping_details: 'server_only' },
    excluded_payment_method_types: ['link'],
    payment_method_options: { card: { request_three_d_secure: 'automatic' } },
    managed_payments: { enabled: false },
    branding_settings: { display_name: 'Shop' },
    origin_context: 'web',
    integration_identifier: 'contract',
    wallet_options: { link: { display: 'auto' } },
    expand: ['line_items.data.price.product'],
  });
  shaped(await raw(`/v1/checkout/sessions/${session.id}?expand[]=line_items.data.price.product`), 'Checkout/Sessions', 'Session');
  assert.equal(session.amount_subtotal, 3500);
  assert.equal(session.amount_total, 3800);
  assert.equal(session.total_details.amount_shipping, 300);
  assert.equal(session.client_reference_id, 'booking-1');
  assert.equal(session.metadata['clé'], 'é & = + %');
  assert.equal(session.expires_at, now + 3600);
  assert.equal(session.submit_type, 'book');
  assert.equal(session.success_url, 'https://shop.example/ok?session_id={CHECKOUT_SESSION_ID}');
  assert.equal(session.line_items.data[1].price.product.name, 'Séance');
  assert.equal(session.status, 'open');
  assert.equal(session.payment_intent, null);
  const again = await stripe.checkout.sessions.retrieve(session.id);
  assert.equal(again.url, session.url);
  assert.equal(again.line_items, undefined);
});

test('every object has each member that its declaration calls always present', async () => {
  const bare = await open();
  shaped(await raw(`/v1/checkout/sessions/${bare.id}?expand[]=line_items`), 'Checkout/Sessions', 'Session');
  for (const pay of [{ card: '4242424242424242' }, { card: '4000002760003184', authenticate: true }, { method: 'sepa_debit' }]) {
    const session = await paid({ payment_intent_data: { metadata: { a: 'b' } } }, pay);
    shaped(await raw(`/v1/checkout/sessions/${session.id}?expand[]=payment_intent.latest_charge.balance_transaction&expand[]=payment_intent.payment_method&expand[]=line_items`), 'Checkout/Sessions', 'Session');
    shaped(await raw(`/v1/payment_intents/${session.payment_intent.id}`), 'PaymentIntents', 'PaymentIntent');
    shaped(await raw(`/v1/charges/${session.payment_intent.latest_charge.id}?expand[]=refunds`), 'Charges', 'Charge');
    const items = await raw(`/v1/checkout/sessions/${session.id}/line_items`);
    shaped(items.data[0], 'LineItems', 'LineItem');
  }
  const declined = await open();
  await control(`sessions/${declined.id}/pay`, { card: '4000000000000002' });
  shaped(await raw(`/v1/checkout/sessions/${declined.id}?expand[]=payment_intent.latest_charge`), 'Checkout/Sessions', 'Session');

  const session = await paid();
  const intent = session.payment_intent;
  const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 500, reason: 'requested_by_customer' });
  shaped(await raw(`/v1/refunds/${refund.id}?expand[]=charge&expand[]=payment_intent&expand[]=balance_transaction`), 'Refunds', 'Refund');
  await control(`refunds/${refund.id}/fail`, {});
  shaped(await raw(`/v1/refunds/${refund.id}`), 'Refunds', 'Refund');
  const dispute = await control(`charges/${intent.latest_charge.id}/dispute`, {});
  shaped(await raw(`/v1/disputes/${dispute.id}?expand[]=charge&expand[]=payment_intent`), 'Disputes', 'Dispute');
  shaped(await raw('/v1/balance'), 'Balance', 'Balance');
  const transactions = await raw('/v1/balance_transactions?limit=5');
  transactions.data.forEach((transaction) => shaped(transaction, 'BalanceTransactions', 'BalanceTransaction'));
  const endpoint = await stripe.webhookEndpoints.create({ url: 'https://shop.example/hook', enabled_events: ['*'] });
  shaped(JSON.parse(JSON.stringify(endpoint)), 'WebhookEndpoints', 'WebhookEndpoint');
  await stripe.webhookEndpoints.del(endpoint.id);
  const customer = await stripe.customers.create({ email: 'ada@example.com' });
  shaped(await raw(`/v1/customers/${customer.id}`), 'Customers', 'Customer');
  const price = await stripe.prices.create({ currency: 'eur', unit_amount: 900, product_data: { name: 'Tea' } });
  shaped(await raw(`/v1/prices/${price.id}?expand[]=product`), 'Prices', 'Price');
});

test('what shops use has the declared shape, too', async () => {
  const coupon = await stripe.coupons.create({ percent_off: 25 });
  shaped(await raw(`/v1/coupons/${coupon.id}`), 'Coupons', 'Coupon');
  const code = await stripe.promotionCodes.create({ promotion: { type: 'coupon', coupon: coupon.id } });
  shaped(await raw(`/v1/promotion_codes/${code.id}`), 'PromotionCodes', 'PromotionCode');
  const tax = await stripe.taxRates.create({ display_name: 'VAT', percentage: 20, inclusive: true });
  shaped(await raw(`/v1/tax_rates/${tax.id}`), 'TaxRates', 'TaxRate');
  const rate = await stripe.shippingRates.create({ display_name: 'Post', type: 'fixed_amount', fixed_amount: { amount: 300, currency: 'eur' } });
  shaped(await raw(`/v1/shipping_rates/${rate.id}`), 'ShippingRates', 'ShippingRate');
  const price = await stripe.prices.create({ currency: 'eur', unit_amount: 900, product_data: { name: 'Tea' } });
  const link = await stripe.paymentLinks.create({ line_items: [{ price: price.id, quantity: 1 }] });
  shaped(await raw(`/v1/payment_links/${link.id}`), 'PaymentLinks', 'PaymentLink');
  const customer = await stripe.customers.create({ email: 'ada@example.com' });
  const setup = await stripe.setupIntents.create({ customer: customer.id, payment_method: 'pm_card_visa', confirm: true });
  shaped(await raw(`/v1/setup_intents/${setup.id}`), 'SetupIntents', 'SetupIntent');
  shaped(await raw(`/v1/payment_methods/${setup.payment_method}`), 'PaymentMethods', 'PaymentMethod');
  shaped(await raw('/v1/account'), 'Accounts', 'Account');
  const session = await paid({ discounts: [{ coupon: coupon.id }], line_items: [{ ...item(), tax_rates: [tax.id] }], shipping_options: [{ shipping_rate: rate.id }] });
  assert.equal(session.amount_total, 1800);
  shaped(await raw(`/v1/checkout/sessions/${session.id}?expand[]=total_details.breakdown&expand[]=line_items`), 'Checkout/Sessions', 'Session');
  const found = await stripe.customers.search({ query: 'email:"ada@example.com"' });
  assert.ok(found.data.length);
  assert.deepEqual((await stripe.subscriptions.list()).data, []);
});

test('the check of shapes sees a missing, a wrong and an undeclared member', async () => {
  const session = await raw(`/v1/checkout/sessions/${(await open()).id}`);
  const { livemode, ...without } = session;
  assert.deepEqual(wrongs(without, 'Checkout/Sessions', 'Session'), ['Session.livemode: missing']);
  assert.equal(wrongs({ ...session, amount_total: '20' }, 'Checkout/Sessions', 'Session').length, 1);
  assert.equal(wrongs({ ...session, automatic_tax: { enabled: true } }, 'Checkout/Sessions', 'Session').length, 3);
  assert.deepEqual(wrongs({ ...session, colour: 1 }, 'Checkout/Sessions', 'Session'), ['Session.colour: not declared']);
});

test('every event has the declared shape, and its object too', async () => {
  const files = {
    'checkout.session': ['Checkout/Sessions', 'Session'],
    payment_intent: ['PaymentIntents', 'PaymentIntent'],
    charge: ['Charges', 'Charge'],
    refund: ['Refunds', 'Refund'],
    dispute: ['Disputes', 'Dispute'],
    customer: ['Customers', 'Customer'],
    product: ['Products', 'Product'],
    price: ['Prices', 'Price'],
    payment_method: ['PaymentMethods', 'PaymentMethod'],
    setup_intent: ['SetupIntents', 'SetupIntent'],
    coupon: ['Coupons', 'Coupon'],
    promotion_code: ['PromotionCodes', 'PromotionCode'],
    tax_rate: ['TaxRates', 'TaxRate'],
    payment_link: ['PaymentLinks', 'PaymentLink'],
  };
  for (const event of (await control('trigger')).events) await control('trigger', { event });
  const declared = literals('WebhookEndpoints', 'WebhookEndpointCreateParams.EnabledEvent');
  const kinds = new Set();
  let after = '';
  for (;;) {
    const page = await raw(`/v1/events?limit=100${after}`);
    for (const event of page.data) {
      kinds.add(event.type);
      shaped(event, 'Events', 'EventBase');
      shaped(event.data.object, ...files[event.data.object.object]);
      const tells = event.type.endsWith('.updated') || ['charge.refunded', 'payment_method.detached'].includes(event.type);
      assert.equal(event.data.previous_attributes !== undefined, tells, event.type);
      assert.ok(declared.includes(event.type), event.type);
    }
    if (!page.has_more) break;
    after = `&starting_after=${page.data.at(-1).id}`;
  }
  for (const kind of ['checkout.session.completed', 'payment_intent.payment_failed', 'charge.refunded', 'refund.failed', 'charge.dispute.created', 'payment_intent.requires_action', 'charge.pending']) {
    assert.ok(kinds.has(kind), kind);
  }
});

test('every declared parameter is known', async () => {
  const id = (await open()).id;
  for (const [file, name, method, at] of [
    ['Checkout/Sessions', 'SessionCreateParams', 'POST', 'checkout/sessions'],
    ['Checkout/Sessions', 'SessionUpdateParams', 'POST', `checkout/sessions/${id}`],
    ['Checkout/Sessions', 'SessionListParams', 'GET', 'checkout/sessions'],
    ['Checkout/Sessions', 'SessionListLineItemsParams', 'GET', `checkout/sessions/${id}/line_items`],
    ['PaymentIntents', 'PaymentIntentCreateParams', 'POST', 'payment_intents'],
    ['PaymentIntents', 'PaymentIntentUpdateParams', 'POST', 'payment_intents/pi_none'],
    ['PaymentIntents', 'PaymentIntentConfirmParams', 'POST', 'payment_intents/pi_none/confirm'],
    ['PaymentIntents', 'PaymentIntentCaptureParams', 'POST', 'payment_intents/pi_none/capture'],
    ['PaymentIntents', 'PaymentIntentCancelParams', 'POST', 'payment_intents/pi_none/cancel'],
    ['PaymentIntents', 'PaymentIntentListParams', 'GET', 'payment_intents'],
    ['Charges', 'ChargeCreateParams', 'POST', 'charges'],
    ['Charges', 'ChargeUpdateParams', 'POST', 'charges/ch_none'],
    ['Charges', 'ChargeCaptureParams', 'POST', 'charges/ch_none/capture'],
    ['Charges', 'ChargeListParams', 'GET', 'charges'],
    ['Refunds', 'RefundCreateParams', 'POST', 'refunds'],
    ['Refunds', 'RefundUpdateParams', 'POST', 'refunds/re_none'],
    ['Refunds', 'RefundListParams', 'GET', 'refunds'],
    ['Disputes', 'DisputeUpdateParams', 'POST', 'disputes/du_none'],
    ['Disputes', 'DisputeListParams', 'GET', 'disputes'],
    ['Events', 'EventListParams', 'GET', 'events'],
    ['WebhookEndpoints', 'WebhookEndpointCreateParams', 'POST', 'webhook_endpoints'],
    ['WebhookEndpoints', 'WebhookEndpointUpdateParams', 'POST', 'webhook_endpoints/we_none'],
    ['BalanceTransactions', 'BalanceTransactionListParams', 'GET', 'balance_transactions'],
  ]) {
    const unknown = [];
    for (const parameter of parameters(file, name)) {
      const form = new URLSearchParams([[parameter, 'x']]).toString();
      const url = new URL(`/v1/${at}${method === 'GET' ? `?${form}` : ''}`, base);
      const headers = { authorization: 'Bearer sk_test_contract', 'content-type': 'application/x-www-form-urlencoded' };
      const answer = await fetch(url, { method, headers, body: method === 'GET' ? undefined : form });
      if ((await answer.json()).error?.code === 'parameter_unknown') unknown.push(parameter);
    }
    assert.deepEqual(unknown, [], name);
  }
});

test('an endpoint takes every declared kind of event and no other', async () => {
  const declared = literals('WebhookEndpoints', 'WebhookEndpointCreateParams.EnabledEvent');
  assert.ok(declared.length > 200);
  const endpoint = await stripe.webhookEndpoints.create({ url: 'https://shop.example/all', enabled_events: declared });
  assert.equal(endpoint.enabled_events.length, declared.length);
  await stripe.webhookEndpoints.del(endpoint.id);
  const refused = await fails(stripe.webhookEndpoints.create({ url: 'https://shop.example', enabled_events: ['charge.invented'] }));
  assert.equal(refused.param, 'enabled_events[0]');
});

test('a paid session expands to its payment and charge', async () => {
  const session = await paid({ payment_intent_data: { metadata: { booking: 'b_9' } } });
  assert.equal(session.status, 'complete');
  assert.equal(session.payment_status, 'paid');
  assert.equal(session.url, null);
  assert.equal(session.payment_intent.status, 'succeeded');
  assert.equal(session.payment_intent.latest_charge.metadata.booking, 'b_9');
  const items = await stripe.checkout.sessions.listLineItems(session.id);
  assert.equal(items.data[0].amount_total, 2000);
});

test('only an open session can be expired', async () => {
  const session = await open();
  const expired = await stripe.checkout.sessions.expire(session.id);
  assert.equal(expired.status, 'expired');
  assert.equal(expired.url, null);
  const error = await fails(stripe.checkout.sessions.expire(session.id));
  assert.ok(error instanceof Stripe.errors.StripeInvalidRequestError);
  assert.equal(
    error.message,
    'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of `expired`.',
  );
});

test('lists go newest first, page by page, and filter', async () => {
  const reference = `list-${Date.now()}`;
  const made = [];
  for (let n = 0; n < 5; n += 1) made.push((await open({ client_reference_id: `${reference}-${n}` })).id);
  const seen = [];
  for await (const session of stripe.checkout.sessions.list({ limit: 2 })) {
    seen.push(session.id);
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, [...made].reverse());
  const first = await stripe.checkout.sessions.list({ limit: 2 });
  assert.equal(first.has_more, true);
  const second = await stripe.checkout.sessions.list({ limit: 2, starting_after: first.data[1].id });
  assert.deepEqual(second.data.map((s) => s.id), [made[2], made[1]]);
  const back = await stripe.checkout.sessions.list({ limit: 2, ending_before: second.data[0].id });
  assert.deepEqual(back.data.map((s) => s.id), [made[4], made[3]]);
  const none = await stripe.checkout.sessions.list({ created: { lt: 1 } });
  assert.deepEqual(none.data, []);
  assert.equal(none.has_more, false);
  const opened = await stripe.checkout.sessions.list({ status: 'open', limit: 100 });
  assert.ok(opened.data.every((s) => s.status === 'open'));
  const session = await paid();
  const [found] = (await stripe.checkout.sessions.list({ payment_intent: session.payment_intent.id })).data;
  assert.equal(found.id, session.id);
  const all = await stripe.events.list({ types: ['checkout.session.completed', 'charge.succeeded'], limit: 100 }).autoPagingToArray({ limit: 500 });
  assert.ok(all.length > 1 && all.every((e) => ['checkout.session.completed', 'charge.succeeded'].includes(e.type)));
  const starred = await stripe.events.list({ type: 'checkout.session.*' });
  assert.ok(starred.data.length > 0 && starred.data.every((e) => e.type.startsWith('checkout.session.')));
  const expanded = await stripe.checkout.sessions.list({ limit: 1, expand: ['data.payment_intent'] });
  assert.equal(expanded.data[0].payment_intent.object, 'payment_intent');
});

test('refunds stay within the charge', async () => {
  const session = await paid();
  const intent = session.payment_intent;
  const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 500 });
  assert.equal(refund.status, 'succeeded');
  const over = await fails(stripe.refunds.create({ payment_intent: intent.id, amount: 1501 }));
  assert.equal(over.statusCode, 400);
  assert.equal(over.param, 'amount');
  assert.equal(over.message, 'Refund amount (€15.01) is greater than unrefunded amount on charge (€15.00)');
  await stripe.refunds.create({ charge: intent.latest_charge.id });
  const charge = await stripe.charges.retrieve(intent.latest_charge.id);
  assert.equal(charge.amount_refunded, 2000);
  assert.equal(charge.refunded, true);
  const again = await fails(stripe.refunds.create({ charge: charge.id }));
  assert.equal(again.code, 'charge_already_refunded');
  const listed = await stripe.refunds.list({ payment_intent: intent.id });
  assert.deepEqual(listed.data.map((r) => r.amount), [1500, 500]);
});

test('each kind of failure is the library\'s own class', async () => {
  const { errors } = Stripe;
  const missing = await fails(stripe.checkout.sessions.retrieve('cs_test_none'));
  assert.ok(missing instanceof errors.StripeInvalidRequestError);
  assert.deepEqual([missing.statusCode, missing.code, missing.param], [404, 'resource_missing', 'session']);
  assert.match(missing.requestId, /^req_/);

  const unknown = await fails(open({ colour: 'red' }));
  assert.deepEqual([unknown.statusCode, unknown.code, unknown.param], [400, 'parameter_unknown', 'colour']);
  assert.equal(unknown.message, 'Received unknown parameter: colour');

  const blank = await fails(new Stripe('nonsense', at).balance.retrieve());
  assert.ok(blank instanceof errors.StripeAuthenticationError);
  const live = await fails(new Stripe('sk_live_x', at).balance.retrieve());
  assert.ok(live instanceof errors.StripeAuthenticationError);
  const foreign = await fails(stripe.balance.retrieve({}, { stripeAccount: 'acct_1Elsewhere' }));
  assert.ok(foreign instanceof errors.StripePermissionError);
  assert.deepEqual([foreign.statusCode, foreign.code], [403, 'account_invalid']);
  const thin = await fails(stripe.v2.core.events.retrieve('evt_none'));
  assert.equal(thin.statusCode, 404);

  const declined = await fails(
    stripe.paymentIntents.create({ amount: 1000, currency: 'eur', payment_method: 'pm_card_chargeDeclinedInsufficientFunds', confirm: true, return_url: 'https://shop.example' }),
  );
  assert.ok(declined instanceof errors.StripeCardError);
  assert.deepEqual([declined.statusCode, declined.code, declined.decline_code], [402, 'card_declined', 'insufficient_funds']);
  assert.equal(declined.payment_intent.status, 'requires_payment_method');
  assert.match(declined.charge, /^ch_/);

  const limited = async (kind) => {
    await control('faults', { faults: { api: [{ kind, path: '/v1/balance', next: 1 }] } });
    return fails(stripe.balance.retrieve());
  };
  const busy = await limited('rate_limit');
  assert.ok(busy instanceof errors.StripeRateLimitError);
  assert.equal(busy.headers['stripe-rate-limited-reason'], 'global-rate');
  assert.ok((await limited('server_error')) instanceof errors.StripeAPIError);
  assert.ok((await limited('html')) instanceof errors.StripeAPIError);
  assert.ok((await limited('truncated')) instanceof errors.StripeConnectionError);
  // A cut connection is tried once more by the library itself.
  await control('faults', { faults: { api: [{ kind: 'reset_before', path: '/v1/balance', next: 2 }] } });
  assert.ok((await fails(stripe.balance.retrieve())) instanceof errors.StripeConnectionError);
  await control('faults', { faults: {} });
});

test('an idempotency key replays, and refuses other parameters', async () => {
  const key = `key-${Date.now()}`;
  const params = { mode: 'payment', success_url: 'https://shop.example', line_items: [item()] };
  const first = await stripe.checkout.sessions.create(params, { idempotencyKey: key });
  const second = await stripe.checkout.sessions.create(params, { idempotencyKey: key });
  assert.equal(second.id, first.id);
  assert.equal(second.lastResponse.headers['idempotent-replayed'], 'true');
  assert.equal(second.lastResponse.headers['original-request'], first.lastResponse.requestId);
  assert.equal(first.lastResponse.headers['idempotent-replayed'], undefined);
  assert.equal(second.lastResponse.idempotencyKey, key);
  const other = await fails(stripe.checkout.sessions.create({ ...params, client_reference_id: 'x' }, { idempotencyKey: key }));
  assert.ok(other instanceof Stripe.errors.StripeIdempotencyError);
  assert.equal(other.statusCode, 400);
  await control('faults', { faults: { api: [{ kind: 'latency', ms: 60_000, path: '/v1/checkout', next: 1 }] } });
  const stop = new AbortController();
  const inUse = `in-use-${Date.now()}`;
  const slow = fetch(new URL('/v1/checkout/sessions', base), {
    method: 'POST',
    headers: { authorization: 'Bearer sk_test_contract', 'idempotency-key': inUse },
    signal: stop.signal,
  }).catch(() => {});
  while ((await control('faults')).faults.api.length > 0) await new Promise((done) => setTimeout(done, 5));
  const busy = await fails(stripe.checkout.sessions.create(undefined, { idempotencyKey: inUse }));
  assert.ok(busy instanceof Stripe.errors.StripeAPIError);
  assert.deepEqual([busy.statusCode, busy.code], [409, 'idempotency_key_in_use']);
  stop.abort();
  await slow;
  const fresh = `fresh-${Date.now()}`;
  await fails(stripe.checkout.sessions.create({ ...params, success_url: 'nowhere' }, { idempotencyKey: fresh }));
  await stripe.checkout.sessions.create(params, { idempotencyKey: fresh });
});

test('the work is done once though the answer was lost', async () => {
  const { payment_intent: intent } = await paid();
  const patient = new Stripe('sk_test_contract', { ...at, maxNetworkRetries: 2 });
  await control('faults', { faults: { api: [{ kind: 'reset_after', path: '/v1/refunds', next: 1 }] } });
  await patient.refunds.create({ payment_intent: intent.id, amount: 700 });
  await control('faults', { faults: {} });
  assert.deepEqual((await stripe.refunds.list({ payment_intent: intent.id })).data.map((r) => r.amount), [700]);
});

test('payment intents are made, confirmed, captured and cancelled', async () => {
  const intent = await stripe.paymentIntents.create({ amount: 1000, currency: 'eur', capture_method: 'manual', metadata: { a: '1', b: '2' } });
  assert.equal(intent.status, 'requires_payment_method');
  const confirmed = await stripe.paymentIntents.confirm(intent.id, { payment_method: 'pm_card_visa', return_url: 'https://shop.example' });
  assert.equal(confirmed.status, 'requires_capture');
  assert.equal(confirmed.amount_capturable, 1000);
  const captured = await stripe.paymentIntents.capture(intent.id, { amount_to_capture: 800 });
  assert.equal(captured.status, 'succeeded');
  assert.equal(captured.amount_received, 800);
  const late = await fails(stripe.paymentIntents.cancel(intent.id));
  assert.equal(late.code, 'payment_intent_unexpected_state');
  assert.equal(late.payment_intent.id, intent.id);
  const updated = await stripe.paymentIntents.update(intent.id, { metadata: { b: '' , c: '3' } });
  assert.deepEqual({ ...updated.metadata }, { a: '1', c: '3' });
  const other = await stripe.paymentIntents.create({ amount: 1000, currency: 'eur' });
  assert.equal((await stripe.paymentIntents.cancel(other.id, { cancellation_reason: 'abandoned' })).status, 'canceled');
  const asked = await stripe.paymentIntents.create({ amount: 1000, currency: 'eur', payment_method: 'pm_card_authenticationRequired', confirm: true, return_url: 'https://shop.example' });
  assert.equal(asked.status, 'requires_action');
  assert.equal(asked.next_action.type, 'redirect_to_url');
});

test('products and prices serve as line items', async () => {
  const product = await stripe.products.create({ name: 'Séance' });
  const price = await stripe.prices.create({ product: product.id, currency: 'usd', unit_amount: 1500 });
  const session = await open({ line_items: [{ price: price.id, quantity: 2 }] });
  assert.equal(session.amount_total, 3000);
  const unknown = await fails(open({ line_items: [{ price: 'price_none', quantity: 1 }] }));
  assert.deepEqual([unknown.code, unknown.param], ['resource_missing', 'line_items[0][price]']);
});

test('disputes are answered and closed', async () => {
  const session = await paid({}, { card: '4000000000000259' });
  const [dispute] = (await stripe.disputes.list({ payment_intent: session.payment_intent.id })).data;
  assert.equal(dispute.status, 'needs_response');
  const held = await fails(stripe.refunds.create({ payment_intent: session.payment_intent.id }));
  assert.equal(held.code, 'charge_disputed');
  const won = await stripe.disputes.update(dispute.id, { evidence: { uncategorized_text: 'winning_evidence' } });
  assert.equal(won.status, 'won');
});

/** Collects deliveries while `run` runs, and gives them to the library to verify. */
async function deliveries(run) {
  const received = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ body: Buffer.concat(chunks), signature: request.headers['stripe-signature'] });
      response.end('ok');
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const endpoint = await stripe.webhookEndpoints.create({
    url: `http://127.0.0.1:${server.address().port}/`,
    enabled_events: ['checkout.session.completed', 'refund.created'],
  });
  try {
    await run(endpoint);
    assert.equal((await control('deliveries/wait', {})).done, true);
  } finally {
    await stripe.webhookEndpoints.del(endpoint.id);
    server.close();
  }
  return { received, secret: endpoint.secret };
}

test('what is delivered is verified by the library', async () => {
  let session;
  const { received, secret } = await deliveries(async () => {
    session = await paid();
    await stripe.refunds.create({ payment_intent: session.payment_intent.id, amount: 100 });
  });
  const events = received.map(({ body, signature }) => stripe.webhooks.constructEvent(body, signature, secret));
  assert.deepEqual(events.map((e) => e.type), ['checkout.session.completed', 'refund.created']);
  assert.equal(events[0].data.object.id, session.id);
  assert.equal(events[0].api_version, Stripe.API_VERSION ?? events[0].api_version);
  assert.throws(() => stripe.webhooks.constructEvent(received[0].body, received[0].signature, 'whsec_other'));
  const same = await stripe.events.retrieve(events[0].id);
  assert.deepEqual(same.data.object.id, session.id);
  assert.equal(same.pending_webhooks, 0);
});

test('while a secret is rolled both the old and the new one verify', async () => {
  let rolled;
  const { received, secret } = await deliveries(async (endpoint) => {
    rolled = (await control(`endpoints/${endpoint.id}/roll`, {})).secrets[0];
    await paid();
  });
  for (const each of [secret, rolled]) {
    stripe.webhooks.constructEvent(received[0].body, received[0].signature, each);
  }
});

/** Sends an event to our own service, signed by the library. */
async function toService(payload, secret, timestamp = Math.floor(Date.now() / 1000)) {
  const header = await stripe.webhooks.generateTestHeaderStringAsync({ payload, secret, timestamp });
  const response = await fetch(`${process.env.SERVICE_URL}/webhook`, {
    method: 'POST',
    headers: { 'stripe-signature': header, 'content-type': 'application/json' },
    body: payload,
  });
  return response.status;
}

test('events that the library signs are accepted by our own webhook', async () => {
  const secret = process.env.SERVICE_WEBHOOK_SECRET;
  const events = (await raw('/v1/events?limit=100')).data;
  assert.ok(events.length > 20);
  for (const event of events) {
    const payload = JSON.stringify(event, null, 2);
    assert.equal(await toService(payload, secret), 200, event.type);
  }
  const payload = JSON.stringify(events[0]);
  assert.equal(await toService(payload, secret), 200, 'the same event again');
  assert.equal(await toService(payload, 'whsec_other'), 400);
  assert.equal(await toService(payload, secret, Math.floor(Date.now() / 1000) - 400), 400);
});

let failed = 0;
for (const [name, run] of tests) {
  try {
    await run();
    console.log(`ok   node: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL node: ${name}\n${error.stack}`);
  }
}
console.log(`node: ${tests.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
