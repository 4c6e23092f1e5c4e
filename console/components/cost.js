/** `<scrip-cost>`: what a generation costs and what it leaves, beside the button, before anybody is blocked. */

import { h, icon } from "./dom.js";
import { ScripElement } from "./element.js";
import { formatBytes, formatMoney, formatNumber, subtract } from "./format.js";
import { sheet } from "./style.js";

const TYPED_MS = 150; // after the last change of what is asked for
const STYLE = sheet(`
  :host { display: inline-block; container-type: normal; }
  .cost { display: inline-flex; gap: 0.35rem; align-items: center; flex-wrap: wrap; }
`);

/**
 * Attributes: `operation`, `provider`, `model`, `options` (JSON), `tokens`, `bytes`, `feature`, `token-type`; or the
 * property `request` with the check's body. Event `scrip-cost` {check, error}: each new answer; `check.can_proceed`
 * tells whether to offer the button. Reads "costs 1,100, leaves 380" or "costs 1,100, 600 short".
 */
export class ScripCost extends ScripElement {
  static readings = ["me"];
  static observed = ["operation", "provider", "model", "options", "tokens", "bytes", "feature", "token-type"];
  static properties = ["request"];
  static styles = [STYLE];
  #request = null;
  #check = null;
  #error = null;
  #timer = null;
  #asked = 0;
  #seen = null;

  /** The check's body, in place of the attributes. */
  get request() {
    return this.#request ?? this.#attributes();
  }

  set request(request) {
    this.#request = request;
    this.#later();
  }

  /** The latest answer, null before the first. */
  get check() {
    return this.#check;
  }

  attributeChangedCallback(name, old, value) {
    super.attributeChangedCallback(name, old, value);
    if (name !== "strings" && name !== "locale") this.#later();
  }

  changed() {
    const balance = JSON.stringify([this.client?.store.reading("me")?.value?.position]);
    if (this.client && balance !== this.#seen) {
      this.#seen = balance;
      this.#later();
    }
    super.changed();
  }

  view() {
    const told = this.#error ? this.#failed() : this.#check ? this.#told() : null;
    const loading = [h("span", { class: "sr" }, this.text("loading")), h("span", { class: "skeleton" })];
    return h("span", { class: "cost numbers", role: "status" }, told ?? loading);
  }

  #attributes() {
    const request = { operation: this.getAttribute("operation") ?? "image" };
    for (const name of ["provider", "model", "feature"])
      if (this.hasAttribute(name)) request[name] = this.getAttribute(name);
    for (const name of ["tokens", "bytes"])
      if (this.hasAttribute(name)) request[name] = Number(this.getAttribute(name));
    if (this.hasAttribute("token-type")) request.token_type = this.getAttribute("token-type");
    try {
      request.options = JSON.parse(this.getAttribute("options") ?? "{}");
    } catch {
      request.options = {};
    }
    return request;
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), TYPED_MS);
  }

  async #ask() {
    if (!this.client || !this.isConnected) return;
    const mine = (this.#asked += 1);
    let check = null;
    let error = null;
    try {
      check = await this.client.check(this.request);
    } catch (raised) {
      error = raised;
    }
    if (mine !== this.#asked) return; // the answer to an earlier question
    [this.#check, this.#error] = [check, error];
    this.emit("scrip-cost", { check, error });
    this.draw();
  }

  #told() {
    const { checks, can_proceed: ok, quote } = this.#check;
    const paid = checks.filter(
      (check) => ["credits", "tokens", "plan", "budget"].includes(check.resource) && Number(check.needed) > 0,
    );
    if (!quote || (ok && !paid.length)) return [icon("check"), this.text("cost.free")];
    const short = checks.filter((check) => !check.ok);
    const parts = paid.map((check) => this.#part(check)).join("; ");
    const others = short.filter((check) => !paid.includes(check)).map((check) => this.#short(check));
    const told = [parts, ...others].filter(Boolean).join("; ") || this.text("cost.blocked");
    return h("span", { class: `status ${ok ? "ok" : "bad"}` }, icon(ok ? "check" : "warning"), h("span", {}, told));
  }

  #part(check) {
    const costs = this.text("cost.costs", { cost: this.#amount(check, check.needed) });
    if (!check.ok) return `${costs}, ${this.#short(check)}`;
    if (check.available === null) return costs;
    const money = check.resource === "budget";
    const { available, needed } = check;
    const left = money ? (Number(available) - Number(needed)).toFixed(6) : subtract(available, needed);
    return `${costs}, ${this.text("cost.leaves", { left: this.#bare(check, left) })}`;
  }

  #short(check) {
    if (check.resource === "groups") return this.text("title.groups");
    if (check.reason === "plan_blocked") return this.text("status.blocked");
    return this.text("cost.short", { short: this.#bare(check, check.deficit) });
  }

  /** With its unit, except for credits: they are what everything costs. */
  #amount(check, value) {
    if (!["tokens", "plan"].includes(check.resource)) return this.#bare(check, value);
    return this.text("unit.tokens", { n: formatNumber(value, this.locale), count: value });
  }

  #bare(check, value) {
    if (check.resource === "budget") return formatMoney(value, check.currency, this.locale);
    return check.resource === "storage" ? formatBytes(value, this.locale) : formatNumber(value, this.locale);
  }

  #failed() {
    const told = this.#error.status ? this.#error.message : this.text("unavailable");
    return h("span", { class: "status bad" }, icon("warning"), h("span", {}, told));
  }
}

customElements.define("scrip-cost", ScripCost);
