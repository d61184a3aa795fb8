"""What any major of the Python library does since 2019, against the simulated Stripe: the same calls for all of them."""

import http.server
import json
import os
import threading
import time
import urllib.request

import stripe

try:
    from stripe import error as errors
    errors.CardError
except (ImportError, AttributeError):
    errors = stripe

BASE = os.environ["STRIPE_API_BASE"]
stripe.api_key = "sk_test_1234567890abcdefghijklmnop"
stripe.api_base = BASE
version = getattr(stripe, "VERSION", None) or getattr(getattr(stripe, "version", None), "VERSION", "?")
try:
    from stripe.version import VERSION as version  # the older ones
except ImportError:
    from stripe._version import VERSION as version
major = int(version.split(".")[0])
calls = 0


def call(value):
    global calls
    calls += 1
    return value


def fails(run):
    global calls
    calls += 1
    try:
        run()
    except stripe.error.StripeError if hasattr(stripe, "error") and hasattr(stripe.error, "StripeError") else stripe.StripeError as error:
        return error
    raise AssertionError("it was expected to be refused")


def control(at, body):
    request = urllib.request.Request(f"{BASE}/_sim/{at}", json.dumps(body).encode(), {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request))


received = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        received.append((self.rfile.read(int(self.headers["content-length"])), self.headers["stripe-signature"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
endpoint = call(stripe.WebhookEndpoint.create(
    url=f"http://127.0.0.1:{server.server_port}/", enabled_events=["checkout.session.completed"]))
customer = call(stripe.Customer.create(email="ada@example.com", metadata={"a": "b"}))


def open_session(**more):
    parameters = dict(
        mode="payment", customer=customer.id, success_url="https://shop.example/ok", cancel_url="https://shop.example/no",
        client_reference_id="b_1", phone_number_collection={"enabled": False},
        line_items=[{"price_data": {"currency": "eur", "unit_amount": 2000, "product_data": {"name": "Tea"}}, "quantity": 1}])
    parameters.update(more)
    return call(stripe.checkout.Session.create(**parameters))


session = open_session()
assert session.amount_total == 2000
control(f"sessions/{session.id}/pay", {"card": "4242424242424242"})
control("deliveries/wait", {})
paid = call(stripe.checkout.Session.retrieve(session.id, expand=["payment_intent.latest_charge", "line_items"]))
assert paid.payment_status == "paid"
body, signature = received[0]
event = call(stripe.Webhook.construct_event(body, signature, endpoint.secret))
assert event.data.object.id == session.id

# Booleans: `True` before version 12.
intent = call(stripe.PaymentIntent.create(
    amount=1000, currency="eur", payment_method="pm_card_visa", confirm=True, payment_method_types=["card"]))
assert intent.status == "succeeded"
refund = call(stripe.Refund.create(payment_intent=paid.payment_intent.id, amount=500))
assert refund.status == "succeeded"
assert call(stripe.Charge.retrieve(paid.payment_intent.latest_charge.id)).amount_refunded == 500
for _ in range(4):
    open_session()
seen = {listed.id for listed in stripe.checkout.Session.list(customer=customer.id, limit=2).auto_paging_iter()}
calls += 3
assert len(seen) == 5, seen

declined = fails(lambda: stripe.PaymentIntent.create(
    amount=1000, currency="eur", payment_method="pm_card_chargeDeclined", confirm=True, payment_method_types=["card"]))
assert declined.code == "card_declined", declined
assert fails(lambda: stripe.Charge.retrieve("ch_none")).code == "resource_missing"
key = f"older-{version}-{time.time_ns()}"
first = call(stripe.Customer.create(name="Ada", idempotency_key=key))
again = call(stripe.Customer.create(name="Ada", idempotency_key=key))
assert first.id == again.id
assert fails(lambda: stripe.Customer.create(name="Bob", idempotency_key=key)).http_status == 400

coupon = call(stripe.Coupon.create(percent_off=10, duration="once"))
assert open_session(discounts=[{"coupon": coupon.id}]).amount_total == 1800
tax = call(stripe.TaxRate.create(display_name="VAT", percentage=20, inclusive=False))
product = call(stripe.Product.create(name="Tea"))
price = call(stripe.Price.create(product=product.id, currency="eur", unit_amount=300))
taxed = open_session(line_items=[{"price": price.id, "quantity": 1, "tax_rates": [tax.id]}])
assert taxed.amount_total == 360
assert call(stripe.Customer.modify(customer.id, name="Ada L")).name == "Ada L"
assert call(stripe.Balance.retrieve()).available
assert call(stripe.Event.list(limit=1)).data
assert call(stripe.Subscription.list()).data == []
call(stripe.WebhookEndpoint.retrieve(endpoint.id).delete())
assert call(stripe.Customer.retrieve(customer.id).delete()).deleted
server.shutdown()
print(f"ok   python {version}: {calls} calls agreed")
