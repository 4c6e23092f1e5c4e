/** What all elements share: a client and its store, words, numbers in the reader's locale, and drawing. */

import { h, icon, morph } from "./dom.js";
import { agoOf, formatNumber } from "./format.js";
import { getClient, onClient } from "./page.js";
import { BASE } from "./style.js";
import { hasWords, onStrings, words } from "./strings.js";

const SECOND = 1000;

/**
 * A custom element that shows readings of a client's store.
 *
 * Subclasses name the readings in `readings` and return nodes from `view()`. Attributes of all: `theme` (`light`,
 * `dark`), `locale` (of numbers and dates; the reader's own by default), `strings` (JSON, words of this element).
 * Property `client`: its own client in place of the page's.
 */
export class ScripElement extends HTMLElement {
  static readings = [];
  static styles = [];
  static observed = [];
  #client = null;
  #leave = [];
  #unwatch = null;
  #watched = null;
  #drawing = false;
  #clock = null;
  #own = {};

  static get observedAttributes() {
    return ["locale", "strings", ...this.observed];
  }

  constructor() {
    super();
    this.attachShadow({ mode: "open", delegatesFocus: false });
    this.shadowRoot.adoptedStyleSheets = [BASE, ...this.constructor.styles];
  }

  /** The client in use: the element's own, else the page's. */
  get client() {
    return this.#client ?? getClient();
  }

  set client(client) {
    this.#client = client;
    if (this.isConnected) this.#follow();
  }

  /** What the store has read under this name. */
  reading(name) {
    return this.client?.store.reading(name);
  }

  /** The locale of numbers and dates. */
  get locale() {
    return this.getAttribute("locale") ?? undefined;
  }

  /** A text by name, filled in. */
  text(name, values) {
    return words(name, values, this.#own);
  }

  /** Whether there is a text of this name. */
  hasText(name) {
    return hasWords(name, this.#own);
  }

  connectedCallback() {
    for (const name of ["client", ...(this.constructor.properties ?? [])]) this.#upgrade(name);
    const redraw = () => this.draw();
    this.#leave = [onClient(() => this.#follow()), onStrings(redraw)];
    if (this.hasAttribute("show-updated")) {
      this.#clock = setInterval(() => document.visibilityState === "visible" && this.draw(), SECOND);
    }
    this.#follow();
  }

  disconnectedCallback() {
    for (const leave of this.#leave) leave();
    clearInterval(this.#clock);
    this.#unwatch?.();
    this.#unwatch = this.#watched = null;
  }

  attributeChangedCallback(name, _old, value) {
    if (name === "strings") {
      try {
        this.#own = JSON.parse(value ?? "{}");
      } catch {
        this.#own = {};
      }
    }
    this.draw();
  }

  /** Draw with the next microtask, however often it is asked for until then. */
  draw() {
    if (this.#drawing || !this.isConnected) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      if (this.isConnected) morph(this.shadowRoot, [this.view()].flat());
    });
  }

  /** @returns {Node | Node[]} what is to be seen now */
  view() {
    return [];
  }

  /** Something of the store has changed. */
  changed() {
    this.draw();
  }

  /** Dispatch an event that leaves the shadow tree; false where somebody prevented what it announces. */
  emit(type, detail = {}) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  /** A bar whose meaning is also told as text. `share` of 100; `tone` ok, warn or bad. */
  bar(label, share, told, tone = "ok") {
    const percent = Math.max(0, Math.min(100, share));
    const state = {
      role: "progressbar",
      "aria-label": label,
      "aria-valuenow": Math.round(percent),
      "aria-valuetext": told,
    };
    const range = { "aria-valuemin": 0, "aria-valuemax": 100 };
    return h("div", { class: `bar ${tone}`, ...state, ...range }, h("span", { vars: { "--share": `${percent}%` } }));
  }

  /** A skeleton until the first reading, and what to do where it failed; null once there is something to show. */
  waiting(name) {
    const reading = this.reading(name);
    if (reading?.value) return null;
    if (!reading?.error)
      return h(
        "p",
        { role: "status" },
        h("span", { class: "sr" }, this.text("loading")),
        h("span", { class: "skeleton wide" }),
      );
    const again = () => void this.client.store.refresh(name);
    const button = h("button", { class: "button", type: "button", onclick: again }, this.text("retry"));
    return h("div", { class: "row", role: "alert" }, icon("warning"), this.text("unavailable"), button);
  }

  /** `updated 3 s ago`, or that the connection is away; only with the attribute `show-updated`. */
  freshness(name) {
    const reading = this.reading(name);
    if (!reading?.at || !this.hasAttribute("show-updated")) return null;
    const away = this.client.store.connection === "reconnecting" || reading.error;
    const [ago, n] = agoOf(Date.now() - reading.at);
    const updated = this.text("updated", { ago: this.text(ago, { n: formatNumber(n, this.locale), count: n }) });
    return h(
      "span",
      { class: "muted", "data-part": "freshness" },
      away ? `${updated}, ${this.text("reconnecting")}` : updated,
    );
  }

  #follow() {
    const store = this.client?.store ?? null;
    if (store !== this.#watched) {
      this.#unwatch?.();
      this.#watched = store;
      this.#unwatch = store && this.#watch(store);
    }
    this.changed();
  }

  #watch(store) {
    const changed = () => this.changed();
    store.addEventListener("change", changed);
    const unwatch = store.watch(this.constructor.readings);
    return () => {
      store.removeEventListener("change", changed);
      unwatch();
    };
  }

  /** A property that was set before the element was defined hides the accessor until it is set again. */
  #upgrade(name) {
    if (!Object.hasOwn(this, name)) return;
    const value = this[name];
    delete this[name];
    this[name] = value;
  }
}
