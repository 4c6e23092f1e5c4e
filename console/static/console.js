// What pages need of scripts: dialogs, menus, times in the reader's zone, charts, and live news of the ledger.
import { drawCharts } from "/static/charts.js";
import { follow } from "/static/live.js";
import { showTimes } from "/static/times.js";

function ready(root) {
  showTimes(root);
  drawCharts(root);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.opens) document.getElementById(button.dataset.opens).showModal();
  if ("closes" in button.dataset) button.closest("dialog").close();
  if ("menu" in button.dataset) {
    const open = document.getElementById("menu").classList.toggle("open");
    button.setAttribute("aria-expanded", String(open));
  }
  if ("themeButton" in button.dataset) {
    const light = document.documentElement.dataset.theme !== "light";
    document.documentElement.dataset.theme = light ? "light" : "dark";
    localStorage.setItem("scrip-theme", light ? "light" : "dark");
    document.dispatchEvent(new Event("scrip-theme"));
  }
});

// A filter that changes is applied at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  if (event.target.method === "post") event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => document.querySelectorAll("[data-sent]").forEach((form) => delete form.dataset.sent));

document.addEventListener("htmx:afterSwap", (event) => ready(event.target));
ready(document);
if (document.querySelector("[data-live]")) follow();
