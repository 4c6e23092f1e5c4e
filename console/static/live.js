// News of the ledger for a page that has [data-live]: each event of the stream becomes `ledger` on the body, which
// parts of the page ask for with hx-trigger="ledger from:body throttle:1s". The head says how fresh the page is.
import { agoText } from "/static/times.js";

let last = "";
let fresh = Date.now();

function tell(text, lost) {
  const state = document.querySelector("[data-live-state]");
  state.hidden = false;
  state.classList.toggle("lost", lost);
  if (state.textContent !== text) state.textContent = text;
}

async function ticket() {
  const { token, organisation } = await (await fetch("/session/token")).json();
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Scrip-Organisation": organisation };
  const answer = await fetch("/api/v1/stream/tickets", { method: "POST", headers, body: "{}" });
  if (!answer.ok) throw new Error(`no ticket: ${answer.status}`);
  return (await answer.json()).ticket;
}

// The read models come a moment after the log, so what was asked for at once is asked for again.
const AGAIN_MS = [1200, 4000];
let again = [];

function news(detail) {
  const dispatch = () => document.body.dispatchEvent(new CustomEvent("ledger", { detail }));
  again.forEach(clearTimeout);
  again = AGAIN_MS.map((pause) => setTimeout(dispatch, pause));
  dispatch();
}

async function connect() {
  const query = new URLSearchParams({ ticket: await ticket(), named: "false" });
  if (last) query.set("last_event_id", last);
  const source = new EventSource(`/api/v1/stream?${query}`);
  source.onopen = () => {
    fresh = Date.now();
    // What happened between the drawing of the page and now is in no event of this stream.
    if (!last) news(null);
  };
  source.onmessage = (event) => {
    last = event.lastEventId || last;
    fresh = Date.now();
    news(JSON.parse(event.data));
  };
  // A ticket is good for one connection, so the next one needs a new ticket.
  await new Promise((ended) => {
    source.onerror = ended;
    addEventListener("pagehide", ended, { once: true });
  });
  source.close();
}

export async function follow() {
  setInterval(() => {
    if (!document.querySelector("[data-live-state]").classList.contains("lost")) tell(`updated ${agoText(fresh)}`, false);
  }, 1000);
  for (let pause = 1000; ; pause = Math.min(pause * 2, 15000)) {
    try {
      tell("updated now", false);
      const began = Date.now();
      await connect();
      if (Date.now() - began > 5000) pause = 500;
    } catch {
      // The next try tells whether it is over.
    }
    tell("reconnecting", true);
    await new Promise((wait) => setTimeout(wait, pause));
  }
}
