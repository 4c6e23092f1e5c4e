/** `<scrip-budget>`: the month's budget, its alerts, and the form that sets it. */

import { h, icon } from "./dom.js";
import { ScripElement } from "./element.js";
import { formatDate, formatMoney, formatPercent } from "./format.js";
import { sheet } from "./style.js";

const LEAST = 1;
const MOST = 1000;
const STYLE = sheet(`
  .card { display: grid; gap: 0.7rem; }
  .remaining { font-size: 1.5rem; font-weight: 650; }
  form { display: grid; gap: 0.35rem; border-top: 1px solid var(--line); padding-top: 0.8rem; }
  input {
    font: inherit; color: inherit; background: var(--surface); border: 1px solid var(--muted); border-radius: 6px;
    padding: 0.5rem 0.6rem; min-height: 44px; width: 9rem; max-width: 100%;
  }
  label { font-weight: 600; }
`);

/** Attributes: `readonly` (without the form), `show-updated`. Event `scrip-budget-saved` {budget}. */
export class ScripBudget extends ScripElement {
  static readings = ["budget"];
  static observed = ["readonly"];
  static styles = [STYLE];
  #saving = false;
  #told = null;
  #typed = false;

  view() {
    const title = this.text("budget.title");
    const waiting = this.waiting("budget");
    if (waiting) return h("section", { class: "card", "aria-label": title }, waiting);
    const budget = this.reading("budget").value;
    const money = (amount) => formatMoney(amount, budget.currency, this.locale);
    const used = this.text("budget.used", { used: money(budget.used_monthly), monthly: money(budget.monthly_budget) });
    const tone = budget.percent >= 90 ? "bad" : budget.percent >= 75 ? "warn" : "ok";
    const reserved = Number(budget.reserved) > 0 && this.text("budget.reserved", { amount: money(budget.reserved) });
    return h(
      "section",
      { class: "card", "aria-label": title },
      h("div", { class: "row spread" }, h("h3", {}, icon("wallet"), " ", title), this.freshness("budget")),
      h("p", { class: "remaining numbers" }, this.text("budget.remaining", { amount: money(budget.remaining) })),
      this.bar(title, budget.percent, used, tone),
      h("p", { class: "numbers" }, [used, reserved].filter(Boolean).join(", ")),
      this.#alerts(budget),
      h("p", { class: "muted" }, this.text("budget.ends", { date: formatDate(budget.period_end, this.locale) })),
      !this.hasAttribute("readonly") && this.#form(budget, money),
    );
  }

  #alerts({ alerts }) {
    return alerts.map(({ type, percentage }) => {
      const told = this.text(`budget.${type}`, { percent: formatPercent(percentage, this.locale) });
      return h("p", { class: `status ${type === "critical" ? "bad" : "warn"}`, role: "status" }, icon("warning"), told);
    });
  }

  #form(budget, money) {
    const most = Number(budget.ceiling ?? MOST);
    const bounds = { least: money(LEAST), most: money(most) };
    const failed = this.#told?.error;
    const field = {
      id: "amount",
      name: "amount",
      type: "text",
      inputmode: "decimal",
      autocomplete: "off",
      maxlength: 12,
    };
    const told = { "aria-describedby": "bounds told", "aria-invalid": failed ? "true" : null };
    const saved =
      this.#told &&
      h(
        "span",
        { class: `status ${failed ? "bad" : "ok"}` },
        icon(failed ? "warning" : "check"),
        failed || this.text("budget.saved"),
      );
    const input = h("input", { ...field, ...told, value: budget.monthly_budget, oninput: () => (this.#typed = true) });
    return h(
      "form",
      { novalidate: true, onsubmit: (event) => this.#submit(event, bounds, most) },
      h("label", { for: "amount" }, this.text("budget.setting")),
      h(
        "div",
        { class: "row" },
        input,
        h("button", { class: "button primary", disabled: this.#saving }, this.text("budget.save")),
      ),
      h("p", { class: "muted", id: "bounds" }, this.text("budget.bounds", bounds)),
      h("p", { id: "told", role: "status" }, saved),
    );
  }

  async #submit(event, bounds, most) {
    event.preventDefault();
    const input = event.target.elements.amount;
    const amount = input.value.trim().replace(",", ".");
    const whole = /^\d{1,4}(\.\d{1,6})?$/.test(amount) ? Number(amount) : NaN;
    if (!(whole >= LEAST && whole <= most)) return this.#tell({ error: this.text("budget.invalid", bounds) }, input);
    this.#saving = true;
    this.#tell(null);
    try {
      const budget = await this.client.setBudget(amount);
      this.#typed = false;
      input.value = budget.monthly_budget;
      this.#tell({ error: null });
      this.emit("scrip-budget-saved", { budget });
    } catch (error) {
      this.#tell({ error: error.message }, input);
    } finally {
      this.#saving = false;
      this.draw();
    }
  }

  /** Somebody else may change the budget meanwhile: what is being typed is left alone. */
  changed() {
    const input = this.shadowRoot.querySelector("input");
    const read = this.reading("budget")?.value?.monthly_budget;
    if (input && read && !this.#typed && this.shadowRoot.activeElement !== input) input.value = read;
    super.changed();
  }

  #tell(told, input = null) {
    this.#told = told;
    this.draw();
    input?.focus();
  }
}

customElements.define("scrip-budget", ScripBudget);
