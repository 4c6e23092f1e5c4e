/** Going on while the service is away, where the integrator chose so: note, and tell the service when it is back. */

import { Unreachable } from "./errors.js";
import { newKey } from "./http.js";
import { Journal, ownerOf } from "./journal.js";

const PROVISIONAL = "journal-";
const LONGEST_MS = 30_000;

/** Whether an id is one of the journal's own, not yet the service's. */
export const isProvisional = (id) => String(id).startsWith(PROVISIONAL);

/**
 * Notes reservations up to a cap and replays them, each with the key of its first attempt, so that nothing is held
 * twice even where the service had received it. `onReplayed` is told {entry, transaction | error} for each.
 */
export class Offline {
  #http;
  #journal = null;
  #timer = null;
  #failures = 0;
  #replaying = null;

  constructor(http, { cap, owner, onReplayed }) {
    this.#http = http;
    this.cap = cap;
    this.owner = owner;
    this.onReplayed = onReplayed;
    addEventListener("online", () => void this.replay());
  }

  /** The journal of whoever is signed in; null where nobody can tell who that is. */
  async journal() {
    if (this.#journal) return this.#journal;
    const owner = this.owner ?? ownerOf(await this.#http.token().catch(() => ""));
    if (owner) this.#journal = new Journal(owner, this.cap);
    return this.#journal;
  }

  /** Whether a reservation of `amount` may be noted. */
  async fits(amount) {
    const journal = await this.journal();
    return journal !== null && amount > 0 && amount <= journal.room;
  }

  /** Note a reservation; what stands for the service's answer, or null where it does not fit. */
  async reserve(body, amount, key) {
    const entry = { id: PROVISIONAL + newKey(), key, settleKey: newKey(), body, amount, action: null };
    if (!(await this.fits(amount)) || !this.#journal.add({ ...entry, transactionId: null })) return null;
    this.#later();
    return { transaction_id: entry.id, status: "journaled", amount, position: null };
  }

  /** Note what became of a reservation; null for one that the journal does not know. */
  async settle(id, action) {
    const entry = (await this.journal())?.find(id);
    if (!entry) return null;
    this.#journal.change(entry.id, { action });
    this.#later(0);
    return { transaction_id: id, status: "journaled", amount: entry.amount, position: null };
  }

  /** Note the outcome of a reservation that the service has; null where it cannot be noted. */
  async keep(transactionId, action, settleKey) {
    const entry = { id: PROVISIONAL + newKey(), key: null, settleKey, body: null, amount: 0, action, transactionId };
    if (!(await this.journal())?.add(entry)) return null;
    this.#later();
    return { transaction_id: transactionId, status: "journaled", position: null };
  }

  /** Send what is noted. Runs once at a time, over all pages of the browser where it can be told. */
  replay() {
    this.#replaying ??= this.#locked(() => this.#all()).finally(() => (this.#replaying = null));
    return this.#replaying;
  }

  async #locked(run) {
    const journal = await this.journal();
    if (!journal?.entries().length) return undefined;
    return navigator.locks ? navigator.locks.request("scrip.journal", run) : run();
  }

  async #all() {
    for (const entry of this.#journal.entries()) {
      try {
        await this.#send(entry);
        this.#failures = 0;
      } catch (error) {
        if (error instanceof Unreachable) {
          this.#failures += 1;
          this.#later();
          return;
        }
        this.#journal.drop(entry.id); // a definite no: nobody can be charged any more, which the integrator must hear
        this.onReplayed({ entry, error });
      }
    }
  }

  async #send(entry) {
    let { transactionId } = entry;
    if (!transactionId) {
      const told = await this.#http.call("POST", "/api/credits/me", { body: entry.body, key: entry.key });
      transactionId = told.transaction_id;
      this.#journal.change(entry.id, { transactionId });
      if (!entry.action) this.onReplayed({ entry, transaction: told });
    }
    const { action } = this.#journal.find(entry.id) ?? {};
    if (!action) return; // it still runs
    const body = { action, transaction_id: transactionId };
    const told = await this.#http.call("POST", "/api/credits/me", { body, key: entry.settleKey });
    this.#journal.drop(entry.id);
    this.onReplayed({ entry, transaction: told });
  }

  #later(ms = Math.min(LONGEST_MS, 1000 * 2 ** this.#failures)) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.replay(), ms);
  }
}
