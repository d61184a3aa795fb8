// What any major of the Node library does since 2019, against the simulated Stripe: the same calls for all of them.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const base = new URL(process.env.STRIPE_API_BASE);
const folder = path.resolve(process.env.LIBRARY_FOLDER, 'index.js');
const loaded = createRequire(folder)('stripe');
const Stripe = loaded.default ?? loaded.Stripe ?? loaded;
// The newer ones do not let their package.json be required.
const manifest = path.resolve(process.env.LIBRARY_FOLDER, 'node_modules/stripe/package.json');
const { version } = JSON.parse(fs.readFileSync(manifest, 'utf8'));
const stripe = new Stripe('sk_test_1234567890abcdefghijklmnop', {
  host: base.hostname, port: base.port, protocol: 'http', maxNetworkRetries: 1, telemetry: false,
});
const major = Number(version.split('.')[0]);
let calls = 0;
const call = async (promise) => {
  calls += 1;
  return promise;
};
const fails = async (promise) => {
  calls += 1;
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail('it was expected to be refused');
};
const control = async (at, body) => {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(new URL(`/_sim/${at}`, base), { method: 'POST', headers, body: JSON.stringify(body) });
  return answer.json();
};

const received = [];
const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    received.push([Buffer.concat(parts), request.headers['stripe-signature']]);
    response.end();
  });
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const asked = major < 12 ? { api_version: '2020-08-27' } : {};
const endpoint = await call(stripe.webhookEndpoints.create({
  url: `http://127.0.0.1:${server.address().port}/`, enabled_events: ['checkout.session.completed'], ...asked,
}));

const customer = await call(stripe.customers.create({ email: 'ada@example.com', metadata: { a: 'b' } }));
const open = (more = {}) => call(stripe.checkout.sessions.create({
  mode: 'payment',
  customer: customer.id,
  success_url: 'https://shop.example/ok?s={CHECKOUT_SESSION_ID}',
  cancel_url: 'https://shop.example/no',
  client_reference_id: 'b_1',
  line_items: [{ price_data: { currency: 'eur', unit_amount: 2000, product_data: { name: 'Tea' } }, quantity: 1 }],
  phone_number_collection: { enabled: false },
  // Since 2026-09-30 no parameter any more; before, accounts named them.
  ...(major < 23 && major >= 12 ? { payment_method_types: ['card'] } : {}),
  ...more,
}));
const session = await open();
assert.equal(session.amount_total, 2000);
await control(`sessions/${session.id}/pay`, { card: '4242424242424242' });
await control('deliveries/wait', {});
const paid = await call(stripe.checkout.sessions.retrieve(session.id, { expand: ['payment_intent.latest_charge', 'line_items'] }));
assert.equal(paid.payment_status, 'paid');
assert.equal(paid.line_items.data[0].amount_total, 2000);

const [body, signature] = received[0];
const event = stripe.webhooks.constructEvent(body, signature, endpoint.secret);
calls += 1;
assert.equal(event.data.object.id, session.id);
if (major < 12) assert.equal(event.api_version, '2020-08-27');

const refund = await call(stripe.refunds.create({ payment_intent: paid.payment_intent.id, amount: 500 }));
assert.equal(refund.status, 'succeeded');
const charge = await call(stripe.charges.retrieve(paid.payment_intent.latest_charge.id));
assert.equal(charge.amount_refunded, 500);

for (let n = 0; n < 4; n += 1) await open();
const seen = new Set();
for await (const listed of stripe.checkout.sessions.list({ customer: customer.id, limit: 2 })) seen.add(listed.id);
assert.equal(seen.size, 5);
calls += 3;

const declined = await fails(stripe.paymentIntents.create({
  amount: 1000, currency: 'eur', payment_method: 'pm_card_chargeDeclined', confirm: true, payment_method_types: ['card'],
}));
assert.equal(declined.type, 'StripeCardError');
assert.equal(declined.code, 'card_declined');
const missing = await fails(stripe.charges.retrieve('ch_none'));
assert.equal(missing.code, 'resource_missing');

const options = { idempotencyKey: `older-${version}-${Date.now()}` };
const first = await call(stripe.customers.create({ name: 'Ada' }, options));
const again = await call(stripe.customers.create({ name: 'Ada' }, options));
assert.equal(first.id, again.id);
const other = await fails(stripe.customers.create({ name: 'Bob' }, options));
assert.equal(other.type, 'StripeIdempotencyError');

const coupon = await call(stripe.coupons.create({ percent_off: 10, duration: 'once' }));
assert.equal((await open({ discounts: [{ coupon: coupon.id }] })).amount_total, 1800);
const tax = await call(stripe.taxRates.create({ display_name: 'VAT', percentage: 20, inclusive: false }));
const product = await call(stripe.products.create({ name: 'Tea' }));
const price = await call(stripe.prices.create({ product: product.id, currency: 'eur', unit_amount: 300 }));
const taxed = await open({ line_items: [{ price: price.id, quantity: 1, tax_rates: [tax.id] }] });
assert.equal(taxed.amount_total, 360);
assert.equal((await call(stripe.customers.update(customer.id, { name: 'Ada L' }))).name, 'Ada L');
assert.ok((await call(stripe.balance.retrieve())).available);
assert.ok((await call(stripe.events.list({ limit: 1 }))).data.length);
assert.deepEqual((await call(stripe.subscriptions.list())).data, []);
await call(stripe.webhookEndpoints.del(endpoint.id));
assert.equal((await call(stripe.customers.del(customer.id))).deleted, true);
server.close();
server.closeAllConnections?.();
console.log(`ok   node ${version}: ${calls} calls agreed`);
process.exit(0);
