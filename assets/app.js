// Comfort only: every page works without this file.
"use strict";
document.documentElement.classList.add("js");

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function page(address) {
  const answer = await fetch(address, { headers: { accept: "text/html" }, cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// A form is sent once, however often its button is pressed; coming back revives it.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
  } else if (form.method === "post") {
    form.dataset.sent = "yes";
  }
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

// Storefront: another day or offer changes the slots in place, and what was typed stays.
const booking = document.querySelector("form[data-slots]");
if (booking) {
  const date = booking.elements.date;
  const show = (name, text) => booking.querySelector(`[data-show=${name}]`).replaceChildren(text);
  const offer = () => new FormData(booking).get("offer");
  // Whether the times on the page are those of another day or offer than the one that is filled in.
  const stale = () => booking.querySelector("[name=shown]").value !== `${date.value}|${offer()}`;
  let asked = 0;

  const summarise = () => {
    const chosen = booking.querySelector("input[name=offer]:checked");
    if (chosen) {
      show("offer", chosen.dataset.name);
      show("price", chosen.dataset.price);
    }
    const time = new FormData(booking).get("time");
    const place = booking.querySelector("[data-show=slot]");
    place.replaceChildren(time && !stale() ? `${booking.querySelector("#slots").dataset.day}, ${time}` : place.dataset.empty);
  };

  const load = async () => {
    if (!date.value) return;
    const turn = ++asked;
    const time = new FormData(booking).get("time");
    try {
      const query = new URLSearchParams({ offer: offer(), date: date.value });
      const answer = await page(`${booking.dataset.slots}?${query}`);
      const fresh = answer.querySelector("#slots");
      if (turn !== asked || !fresh) return;
      const same = [...fresh.querySelectorAll("input[name=time]:enabled")].find((input) => input.value === time);
      if (same) same.checked = true;
      const slots = booking.querySelector("#slots");
      // The line that tells how many are free stays: only a change of its text is read out.
      slots.querySelector("[role=status]").textContent = fresh.querySelector("[role=status]").textContent;
      for (const part of [".slots", "[name=shown]"]) slots.querySelector(part).replaceWith(document.adoptNode(fresh.querySelector(part)));
      slots.querySelector(".error")?.remove();
      slots.removeAttribute("aria-describedby");
      Object.assign(slots.dataset, fresh.dataset);
      // Another offer has other free days; the same month stays, with the button that was just pressed.
      const month = answer.querySelector(".month");
      const shown = booking.querySelector(".month");
      if (month && month.dataset.key !== shown.dataset.key) shown.replaceWith(document.adoptNode(month));
      for (const day of booking.querySelectorAll(".day")) day.setAttribute("aria-pressed", day.value === date.value);
      summarise();
    } catch {
      if (turn !== asked) return;
      // Offline for a moment: the times of the other day must not be taken for this one's, and the
      // button without script still works.
      const slots = booking.querySelector("#slots");
      slots.querySelector(".slots").replaceChildren();
      slots.querySelector("[role=status]").textContent = booking.dataset.failed;
      document.documentElement.classList.remove("js");
    }
  };

  booking.addEventListener("click", (event) => {
    const day = event.target.closest("button.day");
    if (!day) return;
    event.preventDefault();
    date.value = day.value;
    load();
  });
  booking.addEventListener("change", (event) => {
    if (event.target === date || event.target.name === "offer") load();
    else summarise();
  });
  // Coming back, the browser fills in the day that was chosen beside the times that the page was made with.
  addEventListener("pageshow", () => {
    if (stale()) load();
    summarise();
  });
  summarise();
}

// Result page: follows the booking until it is settled. Now and then the page itself is asked for
// again: that is what makes the server ask Stripe if the webhook is late.
async function follow(result) {
  const before = result.dataset.status;
  for (let turn = 1; turn < 400; turn++) {
    await wait(turn < 30 ? 1500 : 6000);
    if (document.hidden) continue;
    try {
      const answer = await fetch(result.dataset.poll, { cache: "no-store" });
      const status = answer.ok ? (await answer.json()).status : before;
      if (status === before && turn % 4 !== 0) continue;
      const fresh = (await page(location.href)).querySelector("#result");
      if (!fresh || fresh.dataset.status === before) continue;
      document.title = `${fresh.querySelector("h1").textContent} · ${document.title.split(" · ").pop()}`;
      const live = result.querySelector("[role=status]");
      const told = fresh.querySelector("[role=status]");
      live.replaceChildren(...told.childNodes);
      told.replaceWith(live);
      result.replaceChildren(...fresh.childNodes);
      result.className = fresh.className;
      result.dataset.status = fresh.dataset.status;
      if (fresh.dataset.poll) follow(result);
      return;
    } catch {
      // The next turn may work.
    }
  }
}
const result = document.querySelector("#result[data-poll]");
if (result) follow(result);

// Dashboard: what counts is refreshed while somebody looks, and never under somebody's hands.
if (document.querySelector("[data-live]")) {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const fresh = await page(location.href);
      for (const part of document.querySelectorAll("[data-live]")) {
        const next = fresh.getElementById(part.id);
        if (next && !part.contains(document.activeElement) && next.innerHTML !== part.innerHTML) {
          part.replaceChildren(...document.adoptNode(next).childNodes);
        }
      }
    } catch {
      // Signed out or offline: the page stays as it is.
    }
  }, 10000);
}

document.getElementById("errors")?.focus();
