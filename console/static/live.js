// News of the ledger for a page that has [data-live]: each event of the stream becomes `ledger` on the body, which
// parts of the page ask for with hx-trigger="ledger from:body throttle:1s". The head says how fresh the page is.
import { LiveStream } from "/components/stream.js";
import { agoText } from "/static/times.js";

let fresh = Date.now();

function tell(text, lost) {
  const state = document.querySelector("[data-live-state]");
  state.hidden = false;
  state.classList.toggle("lost", lost);
  if (state.textContent !== text) state.textContent = text;
}

/** The stream in the name of who is signed in. */
async function open(path, signal) {
  const { token, organisation } = await (await fetch("/session/token", { signal })).json();
  const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream", "Scrip-Organisation": organisation };
  const answer = await fetch(path, { headers, signal, cache: "no-store" });
  if (!answer.ok) throw new Error(`no stream: ${answer.status}`);
  return answer;
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

export function follow() {
  setInterval(() => {
    if (!document.querySelector("[data-live-state]").classList.contains("lost")) tell(`updated ${agoText(fresh)}`, false);
  }, 1000);
  tell("updated now", false);
  const heard = {
    onEvent: ({ data }) => {
      fresh = Date.now();
      news(data);
    },
    onState: (state) => {
      if (state !== "live") return tell("reconnecting", true);
      fresh = Date.now();
      tell("updated now", false);
      // What happened between the drawing of the page and now is in no event of this stream.
      news(null);
    },
    onGap: () => {}, // the page asks for all of its parts anew, with the state above
  };
  let stream;
  const begin = () => {
    stream = new LiveStream({ open }, heard);
    void stream.start();
  };
  addEventListener("pagehide", () => stream.stop());
  addEventListener("pageshow", (event) => event.persisted && begin());
  begin();
}
