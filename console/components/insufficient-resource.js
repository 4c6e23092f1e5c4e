/** `<scrip-insufficient-resource>`: why a generation cannot start, every way out, and the way back to the prompt. */

import { h } from "./dom.js";
import { ScripElement } from "./element.js";
import { keepInside } from "./focus.js";
import { FIGURES, checkOf } from "./given-figures.js";
import { KeptPrompt } from "./kept-prompt.js";
import { failedChecks, themeOf, titleOf, waysOut } from "./shortage.js";
import { resetsOf } from "./resets.js";
import * as show from "./shortage-view.js";

const OWN = ["open", "type", "operation-type", "helper", "prompt-key"];
const LINKS = ["tokens", "plan", "generations", "budget", "admin"];

/**
 * A modal dialog. Give it a refused check: `element.show(check, {prompt, request})`; or set the property `check`; or,
 * for a check of one's own, the attributes `type` (`tokens`, `credits`, `storage`, `both`), `tokens-needed`,
 * `current-tokens`, `storage-needed`, `current-storage`, `storage-limit` and `open`.
 *
 * Attributes: `operation-type` (`image`, `video`, `general`); `tokens-href`, `plan-href`, `generations-href`,
 * `budget-href`, `admin-href` (before the service's own links, which are before `/settings/tokens` and so on);
 * `helper` (who can help: a name); `prompt-key` (a name for this place: keeps the prompt for the tab, also while
 * another page is visited, and offers to generate on return).
 *
 * Events: `scrip-close`; `scrip-action` {action, href}, cancelable, for a router; `scrip-alternative` {alternative,
 * prompt, request}; `scrip-recheck` {check}; `scrip-generate` {prompt, request, check}: there is enough and the person
 * wants to go on.
 */
export class ScripInsufficientResource extends ScripElement {
  static readings = ["me"];
  static observed = [...OWN, ...FIGURES, ...LINKS.map((name) => `${name}-href`)];
  static properties = ["check"];
  static styles = [show.STYLE];
  #check = null;
  #open = false;
  #ready = false;
  #resets = {};
  #kept = new KeptPrompt("");
  #seen = null;
  #asking = false;
  #back = (event) =>
    event.type === "pageshow" || document.visibilityState === "visible" ? void this.recheck() : undefined;

  /** The refused check that is shown. */
  get check() {
    return this.#check ?? (this.hasAttribute("type") ? checkOf(this) : null);
  }

  set check(check) {
    this.#check = check;
    this.draw();
  }

  /** Whether the dialog is open. */
  get open() {
    return this.#open;
  }

  /**
   * Show a refusal, and keep what was to be generated.
   * @param {object} check the body of a check or of a 402
   * @param {{prompt?: string, request?: object}} [kept] `request`: what to check again, the body of the check
   */
  show(check, kept = null) {
    this.#check = check;
    this.#ready = false;
    if (kept) this.#kept.write(kept);
    this.#setOpen(true);
    void this.#learnResets();
  }

  /** Close it; the prompt stays kept. */
  close() {
    if (!this.#open) return;
    this.#setOpen(false);
    this.removeAttribute("open");
    this.emit("scrip-close");
  }

  /** Ask again whether it may run now, and offer to generate where it may. Resolves with the check, or null. */
  async recheck() {
    const { request } = this.#kept.read() ?? {};
    if (!request || !this.client || this.#asking) return null;
    this.#asking = true;
    const check = await this.client.check(request).catch(() => null); // away: what is shown stays true
    this.#asking = false;
    if (!check || !this.#kept.read()) return null;
    this.emit("scrip-recheck", { check });
    this.#check = check;
    this.#ready = check.can_proceed;
    if (this.#ready) this.#setOpen(true);
    this.draw();
    return check;
  }

  /** Forget the prompt: it was generated in another way. */
  forget() {
    this.#kept.clear();
  }

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.#back);
    addEventListener("pageshow", this.#back);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.#back);
    removeEventListener("pageshow", this.#back);
  }

  attributeChangedCallback(name, old, value) {
    super.attributeChangedCallback(name, old, value);
    if (name === "open") this.#setOpen(value !== null);
    if (name === "prompt-key") {
      this.#kept = new KeptPrompt(value ?? "");
      if (this.isConnected) void this.recheck();
    }
  }

  /** A balance that has moved may be enough: ask while the dialog is open, and once when the page is there. */
  changed() {
    const position = this.reading("me")?.value?.position;
    if (position && position !== this.#seen) {
      if (this.#open || this.#seen === null) void this.recheck();
      this.#seen = position;
    }
    super.changed();
  }

  draw() {
    super.draw();
    queueMicrotask(() => this.#align());
  }

  view() {
    const check = this.check;
    const dialog = (theme, ...content) =>
      h(
        "dialog",
        {
          "data-theme": theme,
          "aria-labelledby": "title",
          "aria-describedby": "why",
          onkeydown: (event) => keepInside(event, this.shadowRoot),
          onclose: () => this.close(),
        },
        content,
      );
    if (!check) return dialog("tokens");
    const kept = this.#kept.read();
    return this.#ready ? this.#readyView(dialog, kept) : this.#shortView(dialog, check, kept);
  }

  #shortView(dialog, check, kept) {
    const failed = failedChecks(check);
    if (!failed.length) return dialog("tokens");
    const operation = this.getAttribute("operation-type") ?? kept?.request?.operation;
    const why = this.text(`for.${["image", "video"].includes(operation) ? operation : "general"}`);
    const own = Object.fromEntries(
      LINKS.map((name) => [name, this.getAttribute(`${name}-href`)]).filter(([, href]) => href),
    );
    const cancel = { class: "button", type: "button", onclick: () => this.close(), "data-action": "cancel" };
    return dialog(
      themeOf(failed),
      show.head(this, titleOf(failed), show.iconsOf(failed), () => this.close()),
      h(
        "div",
        { class: "body" },
        h("p", { id: "why" }, why),
        failed.map((each) => show.section(this, each, check)),
        show.alternatives(this, check, failed, kept?.request?.model, (other) => this.#use(other)),
        show.outlook(this, failed, this.#resets),
        show.keptPrompt(this, kept?.prompt),
        h(
          "div",
          { class: "actions" },
          show.ways(this, waysOut(check, failed, own), this.#taken),
          h("button", cancel, this.text("action.cancel")),
        ),
      ),
    );
  }

  #readyView(dialog, kept) {
    const go = { class: "button primary", type: "button", onclick: () => this.#generate(), "data-action": "generate" };
    const cancel = { class: "button", type: "button", onclick: () => this.#giveUp(), "data-action": "cancel" };
    return dialog(
      "ready",
      show.head(this, "ready", ["check"], () => this.#giveUp()),
      h(
        "div",
        { class: "body" },
        h("p", { id: "why", role: "status" }, this.text("ready.text")),
        show.keptPrompt(this, kept?.prompt),
        h(
          "div",
          { class: "actions" },
          h("button", go, this.text("action.generate")),
          h("button", cancel, this.text("action.cancel")),
        ),
      ),
    );
  }

  #taken = (event, action, href) => {
    if (!this.emit("scrip-action", { action, href })) event.preventDefault();
  };

  #use(alternative) {
    const kept = this.#kept.read();
    this.close();
    this.#kept.clear();
    this.emit("scrip-alternative", { alternative, ...kept });
  }

  #generate() {
    const kept = this.#kept.read();
    this.close();
    this.#kept.clear();
    this.emit("scrip-generate", { ...kept, check: this.#check });
  }

  /** Who has enough and does not want it any more is not asked again. */
  #giveUp() {
    this.#kept.clear();
    this.close();
  }

  #setOpen(open) {
    this.#open = open;
    this.draw();
  }

  /** The native dialog follows what the element says: it keeps the focus inside and gives it back. */
  #align() {
    const dialog = this.shadowRoot.querySelector("dialog");
    const wanted = this.#open && this.check !== null && dialog?.childElementCount > 0;
    if (!dialog || dialog.open === wanted) return;
    if (!wanted) return dialog.close();
    dialog.showModal();
    dialog.querySelector(".actions a, .actions button")?.focus();
  }

  async #learnResets() {
    this.#resets = {};
    this.#resets = await resetsOf(this.client, failedChecks(this.#check));
    this.draw();
  }
}

customElements.define("scrip-insufficient-resource", ScripInsufficientResource);
