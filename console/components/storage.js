/** `<scrip-storage>`: how full the storage is, and where to make room. */

import { h, icon, safeHref } from "./dom.js";
import { ScripElement } from "./element.js";
import { formatBytes, formatPercent } from "./format.js";
import { sheet } from "./style.js";

const WARNING_FROM = 75;
const CRITICAL_FROM = 90;
const STYLE = sheet(`
  .card { display: grid; gap: 0.6rem; }
  .used { font-size: 1.25rem; font-weight: 650; }
  a { color: var(--accent); }
`);

/** Attributes: `generations-href` (default `/generations`), `show-updated`. */
export class ScripStorage extends ScripElement {
  static readings = ["storage"];
  static observed = ["generations-href"];
  static styles = [STYLE];

  view() {
    const waiting = this.waiting("storage");
    if (waiting) return h("section", { class: "card", "aria-label": this.text("storage.title") }, waiting);
    const { used, held, limit, percent } = this.reading("storage").value;
    const size = (bytes) => formatBytes(bytes, this.locale);
    const told = this.text("storage.used", { used: size(used), limit: size(limit) });
    const share = formatPercent(percent, this.locale);
    const tone = percent >= CRITICAL_FROM ? "bad" : percent >= WARNING_FROM ? "warn" : "ok";
    const href = safeHref(this.getAttribute("generations-href") ?? "/generations");
    return h(
      "section",
      { class: "card", "aria-label": this.text("storage.title") },
      h(
        "div",
        { class: "row spread" },
        h("h3", {}, icon("database"), " ", this.text("storage.title")),
        this.freshness("storage"),
      ),
      h("p", { class: "used numbers" }, told, h("span", { class: "muted" }, ` (${share})`)),
      this.bar(this.text("storage.title"), percent, `${told} (${share})`, tone),
      held > 0 && h("p", { class: "muted" }, this.text("storage.held", { amount: size(held) })),
      h("p", {}, h("a", { href }, this.text("storage.manage"))),
    );
  }
}

customElements.define("scrip-storage", ScripStorage);
