/** `<scrip-credits>`: the balance, which moves at once with a click and corrects itself from the event stream. */

import { h, icon } from "./dom.js";
import { ScripElement } from "./element.js";
import { formatNumber } from "./format.js";
import { sheet } from "./style.js";

const STYLE = sheet(`
  :host { display: inline-block; container-type: normal; }
  .credits { display: inline-flex; gap: 0.45rem; align-items: center; flex-wrap: wrap; font: inherit; }
  .label { color: var(--muted); }
  .available { font-weight: 650; }
  .icon { color: var(--scrip-coin, light-dark(#b45309, #fbbf24)); }
`);

/**
 * Attributes: `unit` (`credits`, default, or `tokens`), `show-icon="false"`, `show-label="false"`, `show-updated`.
 * A hold reads "1,250 available, 1,100 in progress": it is no charge and never looks like one.
 */
export class ScripCredits extends ScripElement {
  static readings = ["me"];
  static observed = ["unit", "show-icon", "show-label"];
  static styles = [STYLE];

  view() {
    const unit = this.getAttribute("unit") === "tokens" ? "tokens" : "credits";
    const balance = this.client?.store.balance(unit);
    return h(
      "span",
      { class: "credits numbers" },
      this.#shows("icon") && icon("coin"),
      this.#shows("label") && h("span", { class: "label" }, this.text(`${unit}.label`)),
      h("span", { role: "status", "data-part": "balance" }, balance ? this.#told(balance) : this.#none()),
      this.freshness("me"),
    );
  }

  #shows(part) {
    return this.getAttribute(`show-${part}`) !== "false";
  }

  #told({ available, reserved }) {
    const number = (value) => formatNumber(value, this.locale);
    const held = reserved > 0 && this.text("credits.in_progress", { n: number(reserved), count: reserved });
    const free = this.text("credits.available", { n: number(available), count: available });
    return [h("span", { class: "available" }, free), held && h("span", { class: "muted" }, `, ${held}`)];
  }

  #none() {
    if (this.reading("me")?.error) return h("span", { class: "muted" }, this.text("unavailable"));
    return [h("span", { class: "sr" }, this.text("loading")), h("span", { class: "skeleton" })];
  }
}

customElements.define("scrip-credits", ScripCredits);
