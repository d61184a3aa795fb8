"""Requests of the official libraries, mutated: none may end in a 5xx, a broken connection or anything but Stripe's JSON.

    STRIPE_API_BASE=http://127.0.0.1:12111 fuzz.py [COUNT [SEED]]
"""

import http.client
import json
import os
import random
import sys
import urllib.parse

count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
dice = random.Random(seed)
base = urllib.parse.urlsplit(os.environ["STRIPE_API_BASE"])
folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "calls.txt"), encoding="utf-8") as file:
    calls = [line.rstrip("\n").split(" ", 2) for line in file]
names = sorted({key for _, path, body in calls for key, _ in urllib.parse.parse_qsl(body, keep_blank_values=True)})
nasty = [
    "", "0", "-1", "1.5", "1e9", "99999999999999999999", "null", "true", "[]", "{}", "[0]", "\x00", "\ud83d\ude00", "é" * 300,
    "x" * 6000, "eur", "EUR", "cs_test_none", "pi_none", "pm_card_visa", "../../etc", "%", "%zz", "'\"><script>", " ", "\n",
    "9223372036854775807", "-9223372036854775808", "2026-13-45", "https://", "javascript:alert(1)", "a@b", "100", "101", "1.",
]
ids = ["x"]


def mutate(method, path, body):
    pairs = urllib.parse.parse_qsl(body, keep_blank_values=True)
    for _ in range(dice.randint(1, 4)):
        way = dice.randrange(9)
        at = dice.randrange(len(pairs)) if pairs else None
        if way == 0 and pairs:
            pairs.pop(at)
        elif way == 1 and pairs:
            pairs[at] = (pairs[at][0], dice.choice(nasty))
        elif way == 2:
            pairs.append((dice.choice(names), dice.choice(nasty)))
        elif way == 3 and pairs:
            pairs[at] = (pairs[at][0] + dice.choice(["[]", "[0]", "[a]", "[", "]", "[0][0]", "[-1]", "[99]"]), pairs[at][1])
        elif way == 4 and pairs:
            pairs.append(pairs[at])
        elif way == 5 and pairs:
            key = pairs[at][0]
            cut = dice.randrange(len(key) + 1)
            pairs[at] = (key[:cut] + dice.choice(["", "x", "[", "é", "\x00"]) + key[cut:], pairs[at][1])
        elif way == 6:
            parts = path.split("?")[0].split("/")
            if len(parts) > 3:
                parts[dice.randrange(3, len(parts))] = dice.choice(ids + ["none", "%00", "search", "%E2%82%AC"])
            path = "/".join(parts)
        elif way == 7:
            method = dice.choice(["GET", "POST", "DELETE"])
        else:
            dice.shuffle(pairs)
    return method, path, pairs


def encode(pairs):
    return "&".join(f"{urllib.parse.quote(k, safe='[]')}={urllib.parse.quote(v, errors='replace')}" for k, v in pairs)


connection = None
statuses = {}
wrong = 0
for number in range(count):
    method, path, pairs = mutate(*dice.choice(calls))
    form = encode(pairs)
    if number % 97 == 0:
        form = "".join(chr(dice.randrange(32, 127)) for _ in range(dice.randrange(200)))
    headers = {"authorization": "Bearer sk_test_x", "content-type": "application/x-www-form-urlencoded"}
    if dice.randrange(10) == 0:
        headers["stripe-version"] = dice.choice(["2022-11-15", "2020-08-27", "2025-03-31.basil", "nonsense", "2023-10-16; a_beta=v1"])
    if dice.randrange(10) == 0:
        headers["idempotency-key"] = dice.choice(["k1", "k2", "k" * 300, "é".encode().decode("latin-1")])
    target = path if method != "GET" else f"{path.split('?')[0]}?{urllib.parse.quote(form, safe='&=[]%+')}"
    try:
        connection = connection or http.client.HTTPConnection(base.hostname, base.port, timeout=60)
        connection.request(method, target, None if method == "GET" else form.encode(), headers)
        answer = connection.getresponse()
        text = answer.read()
        told = json.loads(text)
        fine = answer.status < 500 and (answer.status == 200 or (told["error"]["type"] and told["error"]["message"]))
        fine = fine and len(text) < 2_000_000
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if isinstance(told.get("id"), str) and len(ids) < 500:
            ids.append(told["id"])
    except Exception as error:  # whatever it is, it is a finding
        fine, text, connection = False, repr(error).encode(), None
    if not fine:
        wrong += 1
        print(f"{method} {target[:300]} {form[:600]}\n  {text[:300]}")
print(f"{'FAIL' if wrong else 'ok  '} fuzz: {count} requests of seed {seed}, {wrong} wrong; answers {dict(sorted(statuses.items()))}")
sys.exit(1 if wrong else 0)
