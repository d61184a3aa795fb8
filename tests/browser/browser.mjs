// What people do with the pages, in a real browser.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const { SERVICE_URL, SIMULATOR_URL, ADMIN_EMAIL, ADMIN_PASSWORD, CHROMIUM, SCREENSHOTS } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PAID = "4242424242424242";
const DECLINED = "4000000000000002";
/** Bytes that one page may cost, everything included. */
const HEAVIEST_PAGE = 50 * 1024;

let browser;
/** Each purchase has a day of its own. */
let nextDay = 3;
const dayIn = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
const day = () => dayIn(nextDay++);

before(async () => {
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  if (SCREENSHOTS) mkdirSync(SCREENSHOTS, { recursive: true });
});
after(() => browser?.close());

/** A browser of its own, which notes what must not happen. */
async function visitor(options = {}) {
  const context = await browser.newContext({ locale: "fr-FR", ...options });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const faults = [];
  const hosts = [SERVICE_URL, SIMULATOR_URL].map((url) => new URL(url).port);
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && !hosts.includes(url.port)) faults.push(`request to ${url.origin}`);
  });
  page.on("console", (message) => {
    // The browser itself reports the answers 4xx that some tests ask for.
    const asked = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !asked) faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  return {
    page,
    context,
    async leave() {
      assert.deepEqual(faults, []);
      await context.close();
    },
  };
}

async function fillDetails(page, who = "Ada") {
  await page.fill("#firstName", who);
  await page.fill("#lastName", "Lovelace");
  await page.fill("#email", `${who.toLowerCase()}@example.org`);
}

/** From the storefront to the payment page. */
async function book(page, { date = day(), time = "10:00", script = true, who = "Ada" } = {}) {
  await page.goto(SERVICE_URL);
  await page.fill("#date", date);
  if (script) {
    await page.waitForSelector(`#slots[data-date="${date}"]`);
  } else {
    await page.click("button[name=day][value='']");
    await page.waitForSelector(`#slots[data-date="${date}"]`);
  }
  await page.check(`input[name=time][value="${time}"]`);
  await fillDetails(page, who);
  await page.click("#pay");
  await page.waitForURL(`${SIMULATOR_URL.replace("127.0.0.1", "localhost")}/**`);
  return { date, time };
}

async function pay(page, card = PAID) {
  await page.fill("#name", "Ada Lovelace");
  await page.fill("#number", card);
  await page.fill("#expiry", "12/40");
  await page.fill("#cvc", "123");
  await page.click("button.main");
}

async function signIn(page) {
  await page.goto(`${SERVICE_URL}/dashboard`);
  assert.equal(new URL(page.url()).pathname, "/login");
  await page.fill("#email", ADMIN_EMAIL);
  await page.fill("#password", ADMIN_PASSWORD);
  await page.click("form[action='/login'] button");
  await page.waitForURL(`${SERVICE_URL}/dashboard`);
}

/** A paid booking, and its address in the dashboard. */
async function paidBooking(who) {
  const buyer = await visitor();
  await book(buyer.page, { who });
  await pay(buyer.page);
  await buyer.page.waitForSelector("#result[data-status='payé']");
  const code = await buyer.page.textContent("#result code");
  await buyer.leave();
  return `${SERVICE_URL}/dashboard/bookings/${code}`;
}

test("a customer books, pays and sees it confirmed without reloading", async () => {
  const { page, leave } = await visitor();
  await book(page);
  await pay(page);
  await page.waitForURL(`${SERVICE_URL}/success?**`);
  await page.waitForSelector("#result[data-status='payé']");
  assert.match(await page.textContent("h1"), /C.est réservé/);
  assert.match(await page.textContent("#result"), /60,00\u202f€/);
  assert.doesNotMatch(await page.textContent("main"), /Lovelace|example\.org/);
  await leave();
});

test("the same works without script", async () => {
  const { page, leave } = await visitor({ javaScriptEnabled: false });
  await book(page, { script: false });
  await pay(page);
  await page.waitForURL(`${SERVICE_URL}/success?**`);
  await page.waitForSelector("#result[data-status='payé']", { timeout: 20_000 });
  await leave();
});

test("the whole purchase goes by keyboard alone", async () => {
  const { page, leave } = await visitor();
  await page.goto(nextMonth());
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  const reach = async (matches) => {
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press("Tab");
      const outlined = await page.evaluate(() => {
        const element = document.activeElement;
        // The parts inside a date field have the browser's own ring.
        if (element.type === "date" && !element.matches(":focus")) return "its own";
        const shown = element.closest(".slot, .choice") ?? element;
        return getComputedStyle(shown).outlineStyle;
      });
      assert.notEqual(outlined, "none", "focus is always visible");
      if (await page.evaluate(matches)) return;
    }
    assert.fail(`never reached: ${matches}`);
  };
  await reach(() => document.activeElement.matches("button.day:nth-of-type(3)"));
  const date = await page.evaluate(() => document.activeElement.value);
  await page.keyboard.press("Enter");
  await page.waitForSelector(`#slots[data-date="${date}"]`);
  await reach(() => document.activeElement.matches("input[name=time]"));
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowRight");
  await reach(() => document.activeElement.id === "firstName");
  await page.keyboard.type("Grace");
  await page.keyboard.press("Tab");
  await page.keyboard.type("Lovelace");
  await page.keyboard.press("Tab");
  await page.keyboard.type("ada.k@example.org");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/c\/pay\//);
  await page.focus("#name");
  await page.keyboard.type("Grace Lovelace");
  await page.focus("#number");
  await page.keyboard.type(PAID);
  await page.keyboard.press("Tab");
  await page.keyboard.type("12/40");
  await page.keyboard.press("Tab");
  await page.keyboard.type("123");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#result[data-status='payé']");
  await leave();
});

test("a declined card is told, and another one pays", async () => {
  const { page, leave } = await visitor();
  await book(page);
  await pay(page, DECLINED);
  await page.waitForSelector(".errors, [role=alert]");
  await pay(page, PAID);
  await page.waitForSelector("#result[data-status='payé']");
  await leave();
});

test("turning back from the payment keeps the seat and the slot, and fills in nobody's name", async () => {
  const { page, leave } = await visitor();
  const { date, time } = await book(page, { who: "Ada2" });
  await page.goto(`${SERVICE_URL}/cancel`);
  assert.match(await page.textContent("h1"), /Rien n.a été payé/);
  await page.click("a:has-text('Modifier ma réservation')");
  assert.equal(await page.inputValue("#firstName"), "");
  assert.equal(await page.inputValue("#email"), "");
  assert.equal(await page.inputValue("#date"), date);
  assert.ok(await page.isChecked(`input[name=time][value="${time}"]`));
  assert.ok(!page.url().includes("example"), "nothing personal in an address");
  await page.goto(`${SERVICE_URL}/cancel`);
  await page.click("form[action='/resume'] button");
  await page.waitForURL(/\/c\/pay\//);
  await pay(page);
  await page.waitForSelector("#result[data-status='payé']");
  await leave();
});

test("who comes too late is told, sees the free slots, and types nothing twice", async () => {
  const date = day();
  const first = await visitor();
  const late = await visitor();
  await late.page.goto(`${SERVICE_URL}/?date=${date}`);
  await late.page.check("input[name=time][value='11:00']");
  await fillDetails(late.page, "Ada3");
  await book(first.page, { date, time: "11:00" });
  await late.page.click("#pay");
  await late.page.waitForSelector("#errors");
  assert.equal(await late.page.evaluate(() => document.activeElement.id), "errors");
  assert.match(await late.page.textContent("#errors"), /vient d.être pris/);
  assert.ok(await late.page.isDisabled("input[name=time][value='11:00']"));
  assert.equal(await late.page.inputValue("#lastName"), "Lovelace");
  await late.page.check("input[name=time][value='12:00']");
  await late.page.click("#pay");
  await late.page.waitForURL(/\/c\/pay\//);
  await first.leave();
  await late.leave();
});

/** The storefront with a month of which every day is to come. */
const nextMonth = () => {
  const now = new Date();
  const month = new Date(now.getFullYear(), now.getMonth() + 1, 1);
  return `${SERVICE_URL}/?month=${month.getFullYear()}-${String(month.getMonth() + 1).padStart(2, "0")}`;
};

/** What the page says about the day: its field, its times, the pressed button, the summary. */
const dayOnPage = (page) => page.evaluate(() => ({
  field: document.querySelector("#date").value,
  times: document.querySelector("#slots").dataset.date,
  shown: document.querySelector("[name=shown]").value.split("|")[0],
  pressed: document.querySelector(".day[aria-pressed=true]")?.value,
  free: document.querySelector("#slots [role=status]").textContent,
  summary: document.querySelector("[data-show=slot]").textContent,
}));

test("coming back with the browser's button never books another day than the one shown", async () => {
  const { page, leave } = await visitor();
  await page.goto(nextMonth());
  const first = await page.inputValue("#date");
  const button = page.locator("button.day:enabled").nth(5);
  const chosen = await button.getAttribute("value");
  assert.notEqual(chosen, first);
  await button.click();
  await page.waitForSelector(`#slots[data-date="${chosen}"]`);
  await page.check("input[name=time][value='14:00']");
  await fillDetails(page, "Ada8");
  await page.click("footer a");
  await page.waitForURL(/accessibility/);
  await page.goBack();
  // The browser fills the field in as it was left; the times follow it.
  await page.waitForFunction(() => document.querySelector("#slots").dataset.date === document.querySelector("#date").value);
  await page.check("input[name=time][value='14:00']");
  const { field, times, shown, pressed, free, summary } = await dayOnPage(page);
  assert.equal(field, chosen, "the browser filled it in: else this test shows nothing");
  assert.deepEqual([times, shown, pressed], [field, field, field]);
  const day = await page.getAttribute("#slots", "data-day");
  assert.ok(free.includes(day) && summary === `${day}, 14:00`, `${free} ${summary}`);
  await fillDetails(page, "Ada8");
  await page.click("#pay");
  await page.waitForURL(/\/c\/pay\//);
  await pay(page);
  await page.waitForSelector("#result[data-status='payé']");
  assert.ok((await page.textContent("#result")).includes(`${day} à 14:00`));
  await leave();
});

test("the times of the day before are gone if those of a new day cannot be loaded", async () => {
  const { page, context, leave } = await visitor();
  await page.goto(nextMonth());
  await page.check("input[name=time]:enabled >> nth=0");
  await fillDetails(page, "Ada9");
  await context.route("**/slots?**", (route) => route.abort());
  const button = page.locator("button.day:enabled").nth(6);
  const chosen = await button.getAttribute("value");
  await button.click();
  await page.waitForSelector("#slots:not(:has(input[name=time]))");
  assert.match(await page.textContent("#slots [role=status]"), /n’ont pas pu être affichés/);
  await page.click("button[name=day][value='']");
  await page.waitForSelector(`#slots[data-date="${chosen}"] input[name=time]`);
  assert.equal(await page.inputValue("#firstName"), "Ada9");
  await leave();
});

test("without script a day that was changed shows its own times before anything is booked", async () => {
  const { page, leave } = await visitor({ javaScriptEnabled: false });
  await page.goto(SERVICE_URL);
  const date = day();
  await page.check("input[name=time]:enabled >> nth=0");
  await fillDetails(page, "Ada10");
  await page.fill("#date", date);
  assert.ok(!(await page.isVisible("[data-show=slot]")), "a summary that cannot follow the choice is not shown");
  await page.click("footer a");
  await page.waitForURL(/accessibility/);
  await page.goBack();
  assert.equal(await page.inputValue("#date"), date, "filled in by the browser, beside the times of another day");
  assert.notEqual(await page.getAttribute("#slots", "data-date"), date);
  await page.click("#pay");
  await page.waitForSelector("#errors");
  assert.match(await page.textContent("#errors"), /Le jour ou la prestation a changé/);
  assert.equal(await page.getAttribute("#slots", "data-date"), date);
  assert.equal(await page.locator("input[name=time]:checked").count(), 0);
  await page.check("input[name=time][value='15:00']");
  await page.click("#pay");
  await page.waitForURL(/\/c\/pay\//);
  await leave();
});

test("how many times are free is told in the line that was there", async () => {
  const { page, leave } = await visitor();
  await page.goto(nextMonth());
  await page.evaluate(() => { window.line = document.querySelector("#slots [role=status]"); });
  const before = await page.textContent("#slots [role=status]");
  const button = page.locator("button.day:enabled").nth(3);
  await button.click();
  await page.waitForSelector(`#slots[data-date="${await button.getAttribute("value")}"]`);
  assert.ok(await page.evaluate(() => window.line.isConnected), "a new node would not be read out");
  assert.notEqual(await page.textContent("#slots [role=status]"), before);
  await leave();
});

test("choosing another slot gives the first one up", async () => {
  const { page, leave } = await visitor();
  const { date } = await book(page, { who: "Ada11", time: "16:00" });
  const paymentPage = page.url();
  await page.goto(`${SERVICE_URL}/cancel`);
  await page.click("a:has-text('Modifier ma réservation')");
  assert.match(await page.textContent("main"), /celui-ci sera libéré/);
  await page.check("input[name=time][value='17:00']");
  await fillDetails(page, "Ada11");
  await page.click("#pay");
  await page.waitForURL(/\/c\/pay\//);
  assert.notEqual(page.url(), paymentPage);
  await page.goto(paymentPage);
  assert.equal(await page.locator("#number").count(), 0, "the first cannot be paid any more");
  await page.goto(`${SERVICE_URL}/?date=${date}`);
  assert.ok(await page.isEnabled("input[name=time][value='16:00']"));
  assert.match(await page.textContent("label:has(input[value='17:00'])"), /à vous/);
  await leave();
});

test("another day keeps what was typed, with and without script", async () => {
  for (const javaScriptEnabled of [true, false]) {
    const { page, leave } = await visitor({ javaScriptEnabled });
    await page.goto(nextMonth());
    await fillDetails(page, "Ada4");
    const button = page.locator("button.day:enabled").nth(4);
    const date = await button.getAttribute("value");
    await button.click();
    await page.waitForSelector(`#slots[data-date="${date}"]`);
    assert.equal(await page.inputValue("#date"), date);
    assert.equal(await page.inputValue("#firstName"), "Ada4");
    assert.equal(await button.getAttribute("aria-pressed"), "true");
    await leave();
  }
});

test("mistakes are listed on top, named beside their fields, and lead to them", async () => {
  const { page, leave } = await visitor({ javaScriptEnabled: false });
  await page.goto(SERVICE_URL);
  await page.locator("form#booking").evaluate((form) => form.setAttribute("novalidate", ""));
  await page.fill("#email", "not-an-address");
  await page.click("#pay");
  await page.waitForSelector("#errors");
  assert.equal(await page.locator("#errors li").count(), 4);
  for (const id of ["firstName", "lastName", "email"]) {
    const described = await page.getAttribute(`#${id}`, "aria-describedby");
    assert.match(described, new RegExp(`${id}-error`));
    assert.equal(await page.getAttribute(`#${id}`, "aria-invalid"), "true");
  }
  assert.equal(await page.inputValue("#email"), "not-an-address");
  for (const href of await page.locator("#errors a").evaluateAll((links) => links.map((a) => a.getAttribute("href")))) {
    assert.equal(await page.locator(href).count(), 1, href);
  }
  await leave();
});

test("the language is chosen once and kept", async () => {
  const { page, leave } = await visitor();
  await page.goto(SERVICE_URL);
  assert.equal(await page.getAttribute("html", "lang"), "fr");
  await page.click("nav.lang a");
  assert.equal(await page.getAttribute("html", "lang"), "en");
  assert.match(await page.textContent(".total"), /€60\.00/);
  await page.goto(`${SERVICE_URL}/cancel`);
  assert.equal(await page.getAttribute("html", "lang"), "en");
  await leave();
});

test("somebody of the team signs in, looks around and signs out", async () => {
  const booking = await paidBooking("Ada5");
  const { page, leave } = await visitor();
  await page.goto(`${SERVICE_URL}/login`);
  await page.fill("#email", ADMIN_EMAIL);
  await page.fill("#password", "wrong-password");
  await page.click("form[action='/login'] button");
  assert.match(await page.textContent("#errors"), /Identifiants invalides/);
  await signIn(page);
  assert.match(await page.textContent("table"), /Ada5 Lovelace/);
  await page.goto(booking);
  assert.match(await page.textContent("main"), /payé/);
  assert.match(await page.textContent("#story"), /Le paiement a été appliqué/);
  await page.click("text=Événements de cette réservation");
  await page.click("td a >> nth=0");
  assert.match(await page.textContent("pre"), /checkout\.session/);
  for (const tab of await page.locator(".tabs a").evaluateAll((links) => links.map((a) => a.href))) {
    const answer = await page.goto(tab);
    assert.equal(answer.status(), 200, tab);
  }
  await page.click("form[action='/logout'] button");
  await page.waitForURL(/signed_out/);
  await page.goto(`${SERVICE_URL}/dashboard`);
  assert.equal(new URL(page.url()).pathname, "/login");
  await leave();
});

test("a refund is asked once more, made, and told to the customer", async () => {
  const booking = await paidBooking("Ada7");
  const { page, leave } = await visitor();
  await signIn(page);
  await page.goto(booking);
  await page.fill("#amount", "12,50");
  await page.click("button:has-text('Vérifier le remboursement')");
  assert.match(await page.textContent("h1"), /Rembourser 12,50\u202f€\u202f\?/);
  await page.click("button:has-text('Confirmer')");
  await page.waitForURL(/done=refund/);
  await page.waitForFunction(() => document.querySelector("#story").textContent.includes("12"));
  const session = await page.locator("dd", { hasText: /^cs_test_/ }).first().textContent();
  await page.goto(`${SERVICE_URL}/success?session_id=${session}`);
  assert.match(await page.textContent("main"), /partiellement remboursé/);
  await leave();
});

test("the payment page is another site's, and the form's policy lets the customer through", async () => {
  const { page, leave } = await visitor();
  const policies = [];
  page.on("response", (answer) => {
    if (answer.url().startsWith(SERVICE_URL)) policies.push(answer.headers()["content-security-policy"]);
  });
  await book(page);
  assert.notEqual(new URL(page.url()).origin, new URL(SERVICE_URL).origin);
  assert.ok(policies.length >= 2 && policies.every((policy) => policy.includes("form-action 'self';")));
  await leave();
});

test("an offer is made, sold and withdrawn", async () => {
  const { page, leave } = await visitor();
  await signIn(page);
  await page.goto(`${SERVICE_URL}/dashboard/offers/new`);
  await page.fill("#name", "Massage <b>doux</b>");
  await page.fill("#amount", "0,01");
  await page.fill("#grid", "09:30 14:15");
  await page.click("button.wide");
  assert.match(await page.textContent("#errors"), /prix/);
  await page.fill("#amount", "75,50");
  await page.fill("#capacity", "3");
  await page.click("button.wide");
  await page.waitForURL(/offers\?done=saved/);
  const shop = await visitor();
  await shop.page.goto(`${SERVICE_URL}/?date=${day()}`);
  await shop.page.check("label:has-text('Massage') input");
  await shop.page.waitForSelector("input[value='14:15']");
  assert.match(await shop.page.textContent("[data-show=price]"), /75,50\u202f€/);
  assert.match(await shop.page.textContent(".slots"), /3 places/);
  await page.click("a:has-text('Massage')");
  await page.uncheck("input[name=active]");
  await page.click("button.wide");
  await shop.page.goto(SERVICE_URL);
  assert.equal(await shop.page.locator("text=Massage").count(), 0);
  await shop.leave();
  await leave();
});

test("an unknown session gives a friendly page and changes nothing", async () => {
  const { page, leave } = await visitor();
  const answer = await page.goto(`${SERVICE_URL}/success?session_id=cs_test_forged`);
  assert.equal(answer.status(), 404);
  assert.match(await page.textContent("h1"), /Réservation introuvable/);
  await leave();
});

/** Every page, with a state in which it shows most. */
async function everyPage(page) {
  const date = dayIn(nextDay);
  const booking = await paidBooking("Ada6");
  await page.goto(booking);
  const id = page.url().split("/").pop();
  await page.goto(`${SERVICE_URL}/dashboard/ledger?bookingId=${id}`);
  const event = await page.getAttribute("td a >> nth=0", "href");
  await page.goto(`${SERVICE_URL}/dashboard/users`);
  const user = await page.getAttribute("td a >> nth=0", "href");
  await page.goto(`${SERVICE_URL}/dashboard/offers`);
  const offer = await page.getAttribute("td a >> nth=0", "href");
  await page.goto(booking);
  const session = await page.locator("dd", { hasText: /^cs_test_/ }).first().textContent();
  return [
    ["storefront", "/"],
    ["success", `/success?session_id=${session}`],
    ["unknown-session", "/success?session_id=cs_test_none"],
    ["cancel", "/cancel"],
    ["not-found", "/nowhere"],
    ["accessibility", "/accessibility"],
    ["bookings", "/dashboard"],
    ["bookings-none", "/dashboard?who=nobody@example.org"],
    ["bookings-fault", "/dashboard/ledger?bookingId=abc"],
    ["day", `/dashboard/day?date=${date}`],
    ["booking", `/dashboard/bookings/${id}`],
    ["ledger", "/dashboard/ledger"],
    ["event", event],
    ["cases", "/dashboard/cases"],
    ["metrics", "/dashboard/metrics"],
    ["offers", "/dashboard/offers"],
    ["offer", offer],
    ["offer-new", "/dashboard/offers/new"],
    ["business", "/dashboard/business"],
    ["users", "/dashboard/users"],
    ["user", user],
    ["audit", "/dashboard/audit"],
  ];
}

async function violations(page) {
  // Through the debugger, so that the page's own policy stays in force for the page.
  await page.evaluate(AXE);
  const found = await page.evaluate(() =>
    axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} ${node.failureSummary.slice(0, 200)}`));
}

test("every page is accessible, narrow and light, in both languages and themes", async () => {
  const desk = await visitor({ viewport: { width: 1280, height: 900 } });
  await signIn(desk.page);
  const pages = await everyPage(desk.page);
  const cookies = await desk.context.cookies();
  const problems = [];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [320, 1280]) {
      const { page, context, leave } = await visitor({ viewport: { width, height: 800 }, colorScheme });
      await context.addCookies(cookies.filter((cookie) => cookie.name === "sid"));
      for (const lang of ["fr", "en"]) {
        await context.addCookies([{ name: "lang", value: lang, url: SERVICE_URL }]);
        const anonymous = await visitor({ viewport: { width, height: 800 }, colorScheme });
        await anonymous.context.addCookies([{ name: "lang", value: lang, url: SERVICE_URL }]);
        for (const [name, path] of [...pages, ["login", "/login"]]) {
          const visit = name === "login" ? anonymous.page : page;
          const where = `${name} ${lang} ${colorScheme} ${width}`;
          await visit.goto(SERVICE_URL + path);
          assert.equal(await visit.getAttribute("html", "lang"), lang);
          for (const violation of await violations(visit)) problems.push(`${where}: ${violation}`);
          const overflow = await visit.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          if (overflow > 0) problems.push(`${where}: ${overflow}px too wide`);
          const small = await visit.evaluate(() =>
            [...document.querySelectorAll("a, button, input:not([type=hidden]), select, summary")]
              .filter((element) => !element.closest("p, li, .skip, .default-button") && !element.matches(".skip, .default-button"))
              .map((element) => [element.outerHTML.slice(0, 80), (element.closest("label") ?? element).getBoundingClientRect()])
              .filter(([, box]) => box.width > 0 && (box.width < 24 || box.height < 24))
              .map(([html]) => html),
          );
          for (const html of small) problems.push(`${where}: target under 24px: ${html}`);
          if (SCREENSHOTS) await visit.screenshot({ path: `${SCREENSHOTS}/${where.replaceAll(" ", "-")}.png`, fullPage: true });
        }
        await anonymous.leave();
      }
      await leave();
    }
  }
  await desk.leave();
  assert.deepEqual(problems, []);
});

test("no page costs more than 50 KB or asks another host", async () => {
  const { page, context, leave } = await visitor();
  await signIn(page);
  const pages = await everyPage(page);
  for (const [name, path] of pages) {
    const fresh = await context.newPage();
    let bytes = 0;
    const sizes = [];
    fresh.on("requestfinished", (request) => sizes.push(request.sizes().then((size) => {
      bytes += size.responseBodySize + size.responseHeadersSize;
    })));
    const session = await context.newCDPSession(fresh);
    await session.send("Network.setCacheDisabled", { cacheDisabled: true });
    await fresh.goto(SERVICE_URL + path, { waitUntil: "networkidle" });
    await Promise.all(sizes);
    assert.ok(bytes > 1000 && bytes <= HEAVIEST_PAGE, `${name}: ${bytes} bytes`);
    await fresh.close();
  }
  await leave();
});

test("text at 200 % stays readable and motion can be switched off", async () => {
  const { page, leave } = await visitor({ viewport: { width: 640, height: 800 }, reducedMotion: "reduce" });
  await page.goto(SERVICE_URL);
  await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("#pay")).transitionDuration), "0s");
  await leave();
});
