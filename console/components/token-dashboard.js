/** `<scrip-token-dashboard>`: the organisation's plan tokens by feature, with status, refresh date and warnings. */

import { h, icon, safeHref } from "./dom.js";
import { ScripElement } from "./element.js";
import { formatDate, formatName, formatNumber, formatTime } from "./format.js";
import { sheet } from "./style.js";

const TONES = { ok: ["ok", "check"], low: ["warn", "warning"], empty: ["bad", "blocked"], blocked: ["", "blocked"] };
const STYLE = sheet(`
  .card { display: grid; gap: 0.9rem; }
  .types { display: grid; gap: 0.9rem; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)); }
  .type {
    display: grid; gap: 0.4rem; align-content: start; border: 1px solid var(--line);
    border-radius: calc(var(--radius) - 2px); padding: 0.8rem;
  }
  h4 { margin: 0; font-weight: 600; }
  .balance { font-size: 1.15rem; font-weight: 650; }
  .warning { display: flex; gap: 0.45rem; color: var(--fill); font-weight: 600; }
  .upgrade {
    display: flex; gap: 0.75rem; flex-wrap: wrap; align-items: center; justify-content: space-between;
    padding: 0.8rem; border-radius: calc(var(--radius) - 2px); background: var(--raised);
  }
`);

/**
 * Attributes: `plan-href` (where to upgrade; by default what the service says, else `/settings/subscription`),
 * `show-updated`. Event `scrip-refreshed`: the reader has asked for the latest figures and has them. The words
 * `type.<token type>` name a type.
 */
export class ScripTokenDashboard extends ScripElement {
  static readings = ["tokens"];
  static observed = ["plan-href"];
  static styles = [STYLE];
  #refreshing = false;

  view() {
    const title = this.text("dashboard.title");
    const waiting = this.waiting("tokens");
    if (waiting) return h("section", { class: "card", "aria-label": title }, waiting);
    const stats = this.reading("tokens").value;
    const types = Object.entries(stats.tokens);
    const refilled = stats.refresh_date && this.text("dashboard.refreshed_on", { date: this.#date(stats) });
    const plan = this.text("dashboard.plan", { plan: formatName(stats.plan) });
    const button = { class: "button", type: "button", onclick: () => void this.#refresh(), disabled: this.#refreshing };
    return h(
      "section",
      { class: "card", "aria-label": title, "aria-busy": this.#refreshing ? "true" : null },
      h(
        "div",
        { class: "row spread" },
        h("h3", {}, icon("plan"), " ", title),
        h("button", button, icon("refresh"), this.text("dashboard.refresh")),
      ),
      h(
        "div",
        { class: "row spread" },
        h("p", { class: "muted" }, [plan, refilled].filter(Boolean).join(". ")),
        this.freshness("tokens"),
      ),
      stats.upgrade && this.#upgrade(stats),
      h(
        "div",
        { role: "status" },
        types.map(([name, type]) => this.#warning(name, type, stats)),
      ),
      h(
        "ul",
        { class: "types" },
        types.map(([name, type]) => this.#type(name, type)),
      ),
    );
  }

  #type(name, type) {
    const number = (value) => formatNumber(value, this.locale);
    const told = this.text("dashboard.balance", {
      balance: number(type.balance),
      allocated: number(type.total_allocated),
    });
    const [tone, sign] = TONES[type.status] ?? TONES.blocked;
    const share = type.total_allocated ? (type.balance * 100) / type.total_allocated : type.balance ? 100 : 0;
    const used = type.last_used_at
      ? this.text("dashboard.last_used", { time: formatTime(type.last_used_at, this.locale) })
      : this.text("dashboard.never_used");
    const state = this.hasText(`status.${type.status}`) ? this.text(`status.${type.status}`) : type.status;
    const held = type.reserved > 0 && this.text("dashboard.reserved", { n: number(type.reserved) });
    return h(
      "li",
      { class: "type", "data-key": name, "data-type": name },
      h("h4", {}, this.#name(name)),
      h(
        "div",
        { class: "row spread" },
        h("span", { class: "balance numbers" }, told),
        h("span", { class: `status ${tone}` }, icon(sign), state),
      ),
      this.bar(this.#name(name), share, `${told}, ${state}`, tone),
      h("p", { class: "muted" }, [held, used].filter(Boolean).join(". ")),
    );
  }

  #warning(name, type, stats) {
    if (type.status !== "low" && type.status !== "empty") return null;
    const key = `dashboard.${type.status}${stats.refresh_date ? "" : "_undated"}`;
    const values = {
      type: this.#name(name),
      balance: formatNumber(type.balance, this.locale),
      date: this.#date(stats),
    };
    return h(
      "p",
      { class: `warning ${TONES[type.status][0]}`, "data-key": name },
      icon("warning"),
      this.text(key, values),
    );
  }

  #upgrade(stats) {
    const href = safeHref(this.getAttribute("plan-href") ?? stats.upgrade.href ?? "/settings/subscription");
    const told = this.text("dashboard.upgrade", { plan: formatName(stats.plan) });
    return h(
      "div",
      { class: "upgrade" },
      h("p", {}, told),
      h("a", { class: "button primary", href }, this.text("action.upgrade")),
    );
  }

  async #refresh() {
    this.#refreshing = true;
    this.draw();
    await this.client.store.refresh("tokens");
    this.#refreshing = false;
    this.draw();
    this.emit("scrip-refreshed", { tokens: this.reading("tokens")?.value });
  }

  #name(name) {
    return this.hasText(`type.${name}`) ? this.text(`type.${name}`) : formatName(name);
  }

  #date(stats) {
    return stats.refresh_date ? formatDate(stats.refresh_date, this.locale) : "";
  }
}

customElements.define("scrip-token-dashboard", ScripTokenDashboard);
