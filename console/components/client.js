/** The browser's client of Scrip: may it run, hold, settle, and what is left, over plain HTTP and JSON. */

import { Account } from "./account.js";
import { Unreachable } from "./errors.js";
import { Http, newKey } from "./http.js";
import { Offline, isProvisional } from "./offline.js";
import { Store } from "./store.js";

export { Refused, ScripError, Unreachable } from "./errors.js";
export { newKey } from "./http.js";
export { getClient, onClient, setClient } from "./page.js";

const CREDITS = "/api/credits/me";
const GENERATIONS = "/api/v1/generations";

/**
 * A client for one signed-in person. Answers are those of the API, unchanged (see its OpenAPI document).
 *
 * @param {object} [options]
 * @param {string} [options.baseUrl] where the service is; "" (default) for the page's own origin
 * @param {string} [options.token] a session token (`POST /api/v1/session-tokens`), or
 * @param {(renew: boolean) => any} [options.getToken] what fetches one: a string or {token, expires_at}
 * @param {string} [options.organisation] for platform admins
 * @param {{mode?: "refuse" | "journal", cap?: number, owner?: string}} [options.offline] what to do while the service
 *   cannot be reached: refuse (default), or note reservations of up to `cap` credits and send them later. `owner` names
 *   the person where the token is not a JWT.
 * @param {typeof fetch} [options.fetch]
 * @param {number} [options.retries] of a request that the network lost; 3 by default
 * @param {number} [options.backoffMs] before the first retry; 300 by default
 * @param {number} [options.timeoutMs] of one attempt; 10,000 by default
 * @param {boolean} [options.live] follow the event stream while elements are shown; true by default
 */
export function createClient(options = {}) {
  return new Client(options);
}

/** See `createClient`. `store` holds what is known, with the balance as it will be once all clicks are through. */
export class Client extends Account {
  #prices = new Map();
  #amounts = new Map();
  #offline = null;

  constructor({ baseUrl = "", token, getToken = () => token, organisation, offline = {}, ...rest }) {
    const { retries = 3, backoffMs = 300, timeoutMs = 10_000, live = true } = rest;
    super();
    const send = rest.fetch ?? ((...request) => fetch(...request));
    this.http = new Http({ baseUrl, getToken, organisation, fetch: send, retries, backoffMs, timeoutMs });
    const readers = { me: () => this.me(), tokens: () => this.tokens(), storage: () => this.storage() };
    this.store = new Store({ ...readers, budget: () => this.budget() }, this.http, { live });
    if (offline.mode === "journal") {
      const onReplayed = (told) => this.#replayed(told);
      this.#offline = new Offline(this.http, { cap: offline.cap ?? 0, owner: offline.owner, onReplayed });
      void this.#offline.replay();
    }
  }

  /**
   * May this generation run, and what would it take?
   * @param {object} request operation, and provider, model, options, tokens, bytes, token_type, feature as they apply
   */
  async check(request) {
    try {
      const told = await this.http.call("POST", `${GENERATIONS}/check`, { body: request });
      this.#learn(request, told.quote.credits);
      return told;
    } catch (error) {
      const offline = error instanceof Unreachable && (await this.#offline?.fits(this.priceOf(request)));
      if (!offline) throw error;
      return { can_proceed: true, reason: "ok", offline: true, checks: [], alternatives: [], actions: [] };
    }
  }

  /** @param {number} tokens estimated; can raise the service's own estimate @param {object} [request] further fields */
  checkImage(tokens, request = {}) {
    return this.check({ operation: "image", ...count("tokens", tokens), ...request });
  }

  /** @param {number} tokens estimated; can raise the service's own estimate @param {object} [request] further fields */
  checkVideo(tokens, request = {}) {
    return this.check({ operation: "video", ...count("tokens", tokens), ...request });
  }

  /** Tokens alone, for chat and the playground. @param {number} tokens @param {object} [request] further fields */
  checkTokens(tokens, request = {}) {
    return this.check({ operation: "playground", ...count("tokens", tokens), ...request });
  }

  /** Free space alone. @param {number} bytes @param {object} [request] further fields */
  checkStorage(bytes, request = {}) {
    return this.check({ operation: "upload", ...count("bytes", bytes), ...request });
  }

  /** A price without charging. */
  async quote(request) {
    const told = await this.http.call("POST", "/api/v1/quotes", { body: request });
    this.#learn(request, told.credits);
    return told;
  }

  /** The credits that a request was last seen to cost, 0 where it was never asked. */
  priceOf(request) {
    return request.amount ?? this.#prices.get(priced(request)) ?? 0;
  }

  /**
   * Hold credits: an `amount`, or what a `model` with `options` costs. The balance moves at once and moves back where
   * the service says no. Resolves with its answer (`transaction_id`); raises Refused (402) or Unreachable.
   * @param {object} what amount | model, options, provider, operation; reason, metadata, ttl_seconds
   * @param {{key?: string}} [click] the key of an earlier attempt at the same click
   */
  async reserve(what, { key = newKey() } = {}) {
    const body = { action: "reserve", ...what };
    const amount = this.priceOf(what);
    this.#expect(key, amount);
    try {
      return this.#held(key, await this.http.call("POST", CREDITS, { body, key }));
    } catch (error) {
      const noted = error instanceof Unreachable ? await this.#offline?.reserve(body, amount, key) : null;
      if (!noted) throw this.#failed(key, error);
      this.#amounts.set(noted.transaction_id, { amount, key });
      return noted;
    }
  }

  /** Charge the whole hold: the generation has succeeded. */
  confirm(transactionId, click = {}) {
    return this.#settle(transactionId, "confirm", click);
  }

  /** Give the whole hold back: nothing is charged. */
  rollback(transactionId, click = {}) {
    return this.#settle(transactionId, "rollback", click);
  }

  /** Hold everything that a generation needs (contract, `POST /api/v1/generations`); a worker settles it. */
  async generate(request, { key = newKey() } = {}) {
    this.#expect(key, this.priceOf(request));
    try {
      return this.#held(key, await this.http.call("POST", GENERATIONS, { body: request, key }));
    } catch (error) {
      throw this.#failed(key, error);
    }
  }

  /** Call off a generation that no worker has started. */
  async cancel(generationId, { key = newKey() } = {}) {
    const path = `${GENERATIONS}/${encodeURIComponent(generationId)}/cancel`;
    return this.after(this.http.call("POST", path, { body: {}, key }), "me");
  }

  /** Move the balance at once, unless there is not enough: then another account pays, or the answer is no. */
  #expect(key, amount) {
    const { available = amount } = this.store.balance() ?? {};
    const moved = available >= amount ? amount : 0;
    this.store.expect(key, { available: -moved, reserved: moved });
  }

  async #settle(transactionId, action, { key = newKey() }) {
    const { amount = 0, key: held } = this.#amounts.get(transactionId) ?? {};
    const noted = await this.#offline?.settle(transactionId, action);
    if (noted || isProvisional(transactionId)) return noted;
    this.store.expect(key, { available: action === "rollback" ? amount : 0, reserved: -amount });
    try {
      const body = { action, transaction_id: transactionId };
      const told = await this.http.call("POST", CREDITS, { body, key });
      this.#amounts.delete(transactionId);
      this.store.settle(held, told.position);
      this.store.settle(key, told.position);
      return told;
    } catch (error) {
      const kept = error instanceof Unreachable ? await this.#offline?.keep(transactionId, action, key) : null;
      if (!kept) throw this.#failed(key, error);
      return kept;
    }
  }

  /** What is held of one's own credits: another account may pay for a part, or for all. */
  #held(key, told) {
    const own = told.holds?.filter(({ account, unit }) => unit === "credits" && account?.startsWith("user:"));
    const amount = own ? own.reduce((sum, hold) => sum + hold.amount, 0) : told.amount;
    this.#amounts.set(told.transaction_id, { amount, key });
    this.store.settle(key, told.position, { available: -amount, reserved: amount });
    return told;
  }

  /** Take the expected change back and read the truth: a lost answer says nothing about what has happened. */
  #failed(key, error) {
    this.store.undo(key);
    void this.store.refresh("me");
    return error;
  }

  #replayed(told) {
    const { entry, transaction } = told;
    for (const key of [entry.key, entry.settleKey]) {
      if (transaction) this.store.settle(key, transaction.position);
      else this.store.undo(key);
    }
    void this.store.refresh("me");
    this.store.dispatchEvent(new CustomEvent(transaction ? "replayed" : "replay-refused", { detail: told }));
  }

  #learn(request, credits) {
    this.#prices.set(priced(request), credits ?? 0);
  }
}

const count = (name, value) => (value === undefined || value === null ? {} : { [name]: Math.ceil(value) });

/** What a price depends on, the same for a check, a reservation and a generation. */
function priced({ provider, model, operation, options = {} }) {
  const sorted = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([(model ?? operation ?? "").toLowerCase(), model ? "" : provider, sorted]).toLowerCase();
}
