// Follows the log: while it is on, news of the ledger makes the list of events be asked for again. What is new since
// the last look is marked and counted.
const button = document.getElementById("follow");
const list = document.getElementById("events");
const told = document.getElementById("followed");
const positions = () => [...list.querySelectorAll("[data-position]")];
const following = () => button?.getAttribute("aria-pressed") === "true";
let waiting = false;
let newest = "";
let seen = 0;

function look() {
  newest = positions()[0]?.dataset.position ?? "";
  window.htmx.trigger(list, "follow");
}

button?.addEventListener("click", () => {
  const on = !following();
  button.setAttribute("aria-pressed", String(on));
  button.querySelector("span").textContent = on ? "Pause" : "Follow live";
  button.querySelector("use").setAttribute("href", button.querySelector("use").getAttribute("href").replace(/#.*/, on ? "#pause" : "#play"));
  told.hidden = false;
  told.textContent = on ? "Waiting for new events." : `Paused after ${seen} new ${seen === 1 ? "event" : "events"}.`;
  if (on) {
    seen = 0;
    look();
  }
});

document.body.addEventListener("ledger", () => {
  if (waiting || !following()) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    if (following()) look();
  }, 400);
});

list.addEventListener("htmx:afterSettle", () => {
  const fresh = positions().filter((row) => row.dataset.position > newest);
  if (!fresh.length) return;
  fresh.forEach((row) => row.classList.add("fresh"));
  seen += fresh.length;
  told.textContent = `${seen} new ${seen === 1 ? "event" : "events"} since you follow.`;
});
