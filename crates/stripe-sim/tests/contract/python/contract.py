"""The official Python library against the simulated Stripe. Prints each test and `N passed, N failed`."""

import http.server
import json
import os
import threading
import time
import traceback
import urllib.request

import stripe

BASE = os.environ["STRIPE_API_BASE"]
KEY = "sk_test_contract"
client = stripe.StripeClient(KEY, base_addresses={"api": BASE}, max_network_retries=0)
tests = []


def test(function):
    tests.append(function)
    return function


def control(path, body=None):
    """The control API of the simulator."""
    request = urllib.request.Request(
        f"{BASE}/_sim/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def item(amount=2000, currency="eur"):
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Séance"}}
    return {"price_data": price, "quantity": 1}


def opened(**more):
    params = {
        "mode": "payment",
        "success_url": "https://shop.example/ok?session_id={CHECKOUT_SESSION_ID}",
        "line_items": [item()],
    }
    return client.v1.checkout.sessions.create({**params, **more})


def paid(card="4242424242424242", **more):
    session = opened(**more)
    control(f"sessions/{session.id}/pay", {"card": card})
    return client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def complete(thing):
    """Each member that the class declares without Optional is there and not null."""
    declared = {name: str(hint) for kind in type(thing).__mro__ for name, hint in vars(kind).get("__annotations__", {}).items()}
    always = [n for n, hint in declared.items() if not n.startswith("_") and not any(w in hint for w in ("Optional", "ClassVar", "None"))]
    assert "id" in always or type(thing).__name__ == "Balance", f"no declarations found for {type(thing).__name__}"
    for name in always:
        if name not in ("deleted", "stripe_id"):
            assert name in thing, f"{type(thing).__name__}.{name} is missing"
            assert thing[name] is not None, f"{type(thing).__name__}.{name} is null"


@test
def a_session_is_made_retrieved_and_expanded():
    session = opened(client_reference_id="b 1", metadata={"booking": "b_1"}, locale="fr", customer_email="a@b.fr")
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 2000)
    assert session.metadata["booking"] == "b_1" and session.client_reference_id == "b 1"
    again = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["line_items.data.price.product"]})
    assert again.line_items.data[0].price.product.name == "Séance"
    complete(again)
    complete(again.line_items.data[0])


@test
def every_object_has_what_its_class_declares():
    session = paid()
    intent = session.payment_intent
    complete(session)
    complete(intent)
    complete(intent.latest_charge)
    complete(client.v1.refunds.create({"payment_intent": intent.id, "amount": 100}))
    complete(client.v1.balance.retrieve())
    complete(client.v1.events.list({"limit": 1}).data[0])
    dispute = control(f"charges/{intent.id}/dispute", {})
    complete(client.v1.disputes.retrieve(dispute["id"]))


@test
def only_an_open_session_expires():
    session = opened()
    assert client.v1.checkout.sessions.expire(session.id).status == "expired"
    error = refused(stripe.InvalidRequestError, lambda: client.v1.checkout.sessions.expire(session.id))
    assert error.http_status == 400 and "can be expired" in error.user_message


@test
def lists_page_through_everything_newest_first():
    made = [opened(client_reference_id=str(n)).id for n in range(5)]
    seen = []
    for session in client.v1.checkout.sessions.list({"limit": 2}).auto_paging_iter():
        seen.append(session.id)
        if len(seen) == 5:
            break
    assert seen == made[::-1]
    now = int(time.time())
    assert client.v1.checkout.sessions.list({"created": {"gte": now + 3600}}).data == []
    events = client.v1.events.list({"types": ["charge.succeeded"], "limit": 100})
    assert events.data and all(event.type == "charge.succeeded" for event in events.auto_paging_iter())


@test
def refunds_stay_within_the_charge():
    intent = paid().payment_intent
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 1500, "reason": "duplicate"})
    call = lambda: client.v1.refunds.create({"payment_intent": intent.id, "amount": 501})
    error = refused(stripe.InvalidRequestError, call)
    assert (error.http_status, error.param) == (400, "amount")


@test
def each_kind_of_failure_is_the_librarys_own_class():
    missing = refused(stripe.InvalidRequestError, lambda: client.v1.checkout.sessions.retrieve("cs_test_none"))
    assert (missing.http_status, missing.code, missing.param) == (404, "resource_missing", "session")
    assert missing.request_id.startswith("req_")
    unknown = refused(stripe.InvalidRequestError, lambda: opened(colour="red"))
    assert (unknown.code, unknown.param) == ("parameter_unknown", "colour")
    foreign = stripe.StripeClient("nonsense", base_addresses={"api": BASE})
    refused(stripe.AuthenticationError, lambda: foreign.v1.balance.retrieve())
    abroad = lambda: client.v1.balance.retrieve(options={"stripe_account": "acct_1Elsewhere"})
    assert refused(stripe.PermissionError, abroad).http_status == 403
    params = {"amount": 1000, "currency": "eur", "payment_method": "pm_card_chargeDeclined", "confirm": True}
    declined = refused(stripe.CardError, lambda: client.v1.payment_intents.create(params))
    assert (declined.http_status, declined.code) == (402, "card_declined")
    assert declined.error.decline_code == "generic_decline"
    for kind, expected in [
        ("rate_limit", stripe.RateLimitError),
        ("server_error", stripe.APIError),
        ("html", stripe.APIError),
        ("reset_before", stripe.APIConnectionError),
        ("truncated", stripe.APIConnectionError),
    ]:
        control("faults", {"faults": {"api": [{"kind": kind, "path": "/v1/balance", "next": 1}]}})
        refused(expected, lambda: client.v1.balance.retrieve())
    control("faults", {"faults": {}})


@test
def an_idempotency_key_replays_and_refuses_other_parameters():
    params = {"mode": "payment", "success_url": "https://shop.example", "line_items": [item()]}
    options = {"idempotency_key": f"python-{time.time_ns()}"}
    first = client.v1.checkout.sessions.create(params, options)
    second = client.v1.checkout.sessions.create(params, options)
    assert first.id == second.id
    assert second.last_response.headers["idempotent-replayed"] == "true"
    other = {**params, "client_reference_id": "x"}
    error = refused(stripe.IdempotencyError, lambda: client.v1.checkout.sessions.create(other, options))
    assert error.http_status == 400


@test
def the_work_is_done_once_though_the_answer_was_lost():
    intent = paid().payment_intent
    patient = stripe.StripeClient(KEY, base_addresses={"api": BASE}, max_network_retries=2)
    control("faults", {"faults": {"api": [{"kind": "reset_after", "path": "/v1/refunds", "next": 1}]}})
    patient.v1.refunds.create({"payment_intent": intent.id, "amount": 700})
    control("faults", {"faults": {}})
    assert [r.amount for r in client.v1.refunds.list({"payment_intent": intent.id}).data] == [700]


@test
def what_is_delivered_is_verified_by_the_library():
    received = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((body, self.headers["stripe-signature"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = client.v1.webhook_endpoints.create(
        {"url": f"http://127.0.0.1:{server.server_port}/", "enabled_events": ["checkout.session.completed"]}
    )
    session = paid()
    assert control("deliveries/wait", {})["done"]
    client.v1.webhook_endpoints.delete(endpoint.id)
    server.shutdown()
    [(body, signature)] = received
    event = client.construct_event(body, signature, endpoint.secret)
    assert (event.type, event.data.object.id) == ("checkout.session.completed", session.id)
    wrong = lambda: client.construct_event(body, signature, "whsec_other")
    refused(stripe.SignatureVerificationError, wrong)


failed = 0
for run in tests:
    name = run.__name__.replace("_", " ")
    try:
        run()
        print(f"ok   python: {name}")
    except Exception:
        failed += 1
        print(f"FAIL python: {name}\n{traceback.format_exc()}")
print(f"python: {len(tests) - failed} passed, {failed} failed")
raise SystemExit(1 if failed else 0)
