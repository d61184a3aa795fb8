// Keeps the page as it is at the simulator: waits for a change, then takes the new text of the live part.
// Without script the page is the same, and is loaded again by hand.
const live = document.getElementById('live');
let version = live.dataset.version;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(`/_sim/changes?after=${version}`);
      const next = String((await answer.json()).version);
      // Who is at a button in there keeps it; the next change will do.
      if (next !== version && !live.contains(document.activeElement)) {
        const page = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
        live.replaceChildren(...page.getElementById('live').childNodes);
        version = next;
      }
      await pause(300);
    } catch {
      await pause(2000);
    }
  }
}
follow();
