/** What a blocked person had typed, kept for this tab until it is generated, also over a visit to another page. */

const PREFIX = "scrip.prompt.";

/** @param {string} key the integrator's name for the place; "" keeps nothing beyond the page */
export class KeptPrompt {
  #place;
  #memory = null;

  constructor(key) {
    this.#place = key ? PREFIX + key : null;
  }

  /** {prompt, request}, null where nothing is kept. */
  read() {
    try {
      return this.#memory ?? JSON.parse((this.#place && sessionStorage.getItem(this.#place)) || "null");
    } catch {
      return null;
    }
  }

  /** Keep what was to be generated. */
  write(kept) {
    this.#memory = kept;
    try {
      if (this.#place) sessionStorage.setItem(this.#place, JSON.stringify(kept));
    } catch {
      // A full or forbidden store: the page still has it.
    }
  }

  /** It is generated, or given up. */
  clear() {
    this.#memory = null;
    try {
      if (this.#place) sessionStorage.removeItem(this.#place);
    } catch {
      // There was nothing to forget.
    }
  }
}
