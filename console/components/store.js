/** What a page knows about its user, shared by all elements: read once, and kept current by one stream. */

import { add } from "./format.js";
import { LiveStream } from "./stream.js";

const SOON_MS = 20; // several events of one decision arrive together
const GAP_MS = 250; // between two rounds of reading
// Which readings an event's stream can change; any other may change all of them.
const TOUCHED = {
  account: ["me", "tokens"],
  storage: ["me", "storage"],
  budget: ["me", "budget"],
  group: ["me"],
  generation: [],
};

/**
 * Readings by name (`me`, `tokens`, `budget`, `storage`), each {value, at, error}.
 *
 * Dispatches "change" after each difference. What was clicked counts at once: `expect` moves the balance until the
 * service's own figures contain it (`settle`) or it turns out not to be so (`undo`).
 */
export class Store extends EventTarget {
  #readers;
  #readings = new Map();
  #watchers = new Map();
  #expected = new Map();
  #due = new Set();
  #timer = null;
  #reading = false;
  #lastRound = 0;
  #turn = 0;
  #stream = null;
  #http;

  /**
   * @param {Record<string, () => Promise<any>>} readers one for each reading
   * @param {import("./http.js").Http} http for the stream
   * @param {{live?: boolean}} options
   */
  constructor(readers, http, { live = true } = {}) {
    super();
    this.#readers = readers;
    this.#http = http;
    this.live = live;
    this.connection = "connecting";
    // A hidden page gives its connection back: browsers allow only few for each site.
    document.addEventListener("visibilitychange", () => this.#connect());
    addEventListener("pageshow", () => this.#invalidate(this.#watchers.keys()));
    addEventListener("online", () => this.#invalidate(this.#watchers.keys()));
  }

  /** The latest reading, undefined before the first. */
  reading(name) {
    return this.#readings.get(name);
  }

  /** Keep these readings current until the returned function is called. */
  watch(names) {
    for (const name of names) this.#watchers.set(name, (this.#watchers.get(name) ?? 0) + 1);
    this.#invalidate(names.filter((name) => !this.#readings.has(name)));
    this.#connect();
    return () => {
      for (const name of names) {
        const left = this.#watchers.get(name) - 1;
        if (left) this.#watchers.set(name, left);
        else this.#watchers.delete(name);
      }
      this.#connect();
    };
  }

  /** Read now; resolves with the first one's value, null where it failed. */
  async refresh(...names) {
    await Promise.all(names.map((name) => this.#read(name)));
    return this.#readings.get(names[0])?.value ?? null;
  }

  /** What the user has of `unit` (`credits` or `tokens`), expected changes included; null before the first reading. */
  balance(unit = "credits") {
    const told = this.#readings.get("me")?.value?.[unit];
    if (!told) return null;
    let { available, reserved } = told;
    for (const expected of this.#expected.values()) {
      if (expected.unit !== unit) continue;
      available = add(available, expected.available);
      reserved = add(reserved, expected.reserved);
    }
    return { available, reserved: reserved > 0 ? reserved : 0 };
  }

  /** Move the balance at once; `key` names the change. */
  expect(key, { available = 0, reserved = 0, unit = "credits" }) {
    this.#expected.set(key, { available, reserved, unit, position: null });
    this.#changed();
  }

  /** The service has accepted it at `position`: the change is dropped with the reading that contains it. */
  settle(key, position, change = {}) {
    const expected = this.#expected.get(key);
    if (!expected) return;
    Object.assign(expected, change, { position });
    this.#contained();
    if (this.#watchers.size || this.#expected.size) this.#invalidate(["me"]);
    this.#changed();
  }

  /** It did not happen. */
  undo(key) {
    if (this.#expected.delete(key)) this.#changed();
  }

  #contained() {
    const position = this.#readings.get("me")?.value?.position;
    for (const [key, expected] of this.#expected) {
      if (position && expected.position && position >= expected.position) this.#expected.delete(key);
    }
  }

  async #read(name) {
    const turn = (this.#turn += 1);
    const newer = () => this.#readings.get(name)?.turn > turn; // an answer that was overtaken says nothing new
    try {
      const value = await this.#readers[name]();
      if (newer()) return;
      this.#readings.set(name, { value, at: Date.now(), error: null, turn });
      if (name === "me") this.#contained();
    } catch (error) {
      if (newer()) return;
      this.#readings.set(name, { ...this.#readings.get(name), error, turn });
    }
    this.#changed();
  }

  #invalidate(names) {
    for (const name of names) this.#due.add(name);
    if (!this.#due.size || this.#timer || this.#reading) return;
    const wait = Math.max(SOON_MS, this.#lastRound + GAP_MS - Date.now());
    this.#timer = setTimeout(() => this.#round(), wait);
  }

  async #round() {
    this.#timer = null;
    this.#reading = true;
    this.#lastRound = Date.now();
    const due = [...this.#due];
    this.#due.clear();
    await this.refresh(...due);
    this.#reading = false;
    this.#invalidate([]);
  }

  #connect() {
    const wanted = this.live && this.#watchers.size > 0 && document.visibilityState === "visible";
    if (wanted === (this.#stream !== null)) return;
    this.#stream?.stop();
    this.#stream = null;
    if (!wanted) return;
    this.#stream = new LiveStream(this.#http, {
      onEvent: ({ data }) => this.#happened(data),
      onState: (state) => this.#setConnection(state),
      onGap: () => this.#invalidate(this.#watchers.keys()),
    });
    void this.#stream.start();
  }

  #happened(event) {
    const kind = String(event.stream ?? "").split("/", 1)[0];
    const touched = TOUCHED[kind] ?? [...this.#watchers.keys()];
    this.#invalidate(touched.filter((name) => this.#watchers.has(name)));
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
  }

  #setConnection(state) {
    if (state === this.connection) return;
    this.connection = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
