/** Reservations made while the service could not be reached, kept in the browser until it has heard of them. */

const PREFIX = "scrip.journal.";

/** The owner that a JWT names, so that nobody's journal is sent under another login; null for any other token. */
export function ownerOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return claims.sub ? `${claims.org ?? ""}/${claims.sub}` : null;
  } catch {
    return null;
  }
}

/**
 * The journal of one user. An entry: {id, key, body, amount, settleKey, action, transactionId}; `action` (`confirm`,
 * `rollback`) once its outcome is known, `transactionId` once the service has the reservation.
 */
export class Journal {
  #place;

  /** @param {string} owner @param {number} cap the most credits that may stand in it */
  constructor(owner, cap) {
    this.#place = PREFIX + owner;
    this.cap = cap;
  }

  /** All entries, oldest first. */
  entries() {
    try {
      return JSON.parse(localStorage.getItem(this.#place) ?? "[]");
    } catch {
      return [];
    }
  }

  /** What is left of the cap. */
  get room() {
    return this.cap - this.entries().reduce((sum, entry) => sum + entry.amount, 0);
  }

  /** Write an entry down; false where it does not fit or the browser keeps nothing. */
  add(entry) {
    return entry.amount <= this.room && this.#keep([...this.entries(), entry]);
  }

  /** The entry that stands for this transaction, under its own or the service's id. */
  find(id) {
    return this.entries().find((entry) => entry.id === id || entry.transactionId === id);
  }

  /** Change an entry. */
  change(id, change) {
    return this.#keep(this.entries().map((entry) => (entry.id === id ? { ...entry, ...change } : entry)));
  }

  /** Strike an entry out. */
  drop(id) {
    this.#keep(this.entries().filter((entry) => entry.id !== id));
  }

  #keep(entries) {
    try {
      localStorage.setItem(this.#place, JSON.stringify(entries));
      return true;
    } catch {
      return false;
    }
  }
}
