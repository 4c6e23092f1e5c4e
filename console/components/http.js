/** Requests with a login, one idempotency key through all retries, and patience with a network that fails. */

import { Refused, ScripError, Unreachable } from "./errors.js";

const AGAIN = new Set([502, 503, 504]);
const LONGEST_WAIT_MS = 30_000;
const EARLY_MS = 30_000; // a token is renewed this long before it ends

/** A new idempotency key: one for each click, the same for each repetition of its request. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID needs a secure context
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Http {
  #token = null;
  #ends = Infinity;

  /**
   * @param {object} options
   * @param {string} options.baseUrl where the API is; "" for the page's own origin
   * @param {(renew: boolean) => any} options.getToken a token, or {token, expires_at}; called again when one has ended
   * @param {string} [options.organisation] for platform admins: the organisation that is meant
   * @param {typeof fetch} options.fetch
   * @param {number} options.retries after the first attempt
   * @param {number} options.backoffMs before the first retry; doubled each time, with jitter
   * @param {number} options.timeoutMs of one attempt
   */
  constructor(options) {
    Object.assign(this, options);
    this.baseUrl = options.baseUrl.replace(/\/$/, "");
  }

  /**
   * The answer's JSON. Raises Refused (a definite no), Unreachable (after all retries), ScripError (no token).
   * @param {string} method
   * @param {string} path
   * @param {{body?: object, key?: string, retries?: number}} [request] `key` marks a change that is safe to repeat
   */
  async call(method, path, { body, key, retries = this.retries } = {}) {
    let renewed = false;
    for (let attempt = 0; ; attempt += 1) {
      const { response, told, failure } = await this.#attempt(method, path, body, key);
      if (response?.ok) return told;
      if (response?.status === 401 && !renewed) {
        renewed = true;
        this.#token = null;
        continue;
      }
      const wait = this.#wait(response, told, attempt);
      if (wait === null) throw refusal(response, told, key);
      if (attempt >= retries || wait > LONGEST_WAIT_MS) throw gaveUp(response, told, key, failure);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** An open response, for streams; null where it is refused for good. Raises Unreachable. */
  async open(path, signal) {
    try {
      const headers = { ...(await this.#headers()), Accept: "text/event-stream" };
      const response = await this.fetch(this.baseUrl + path, { headers, signal, cache: "no-store" });
      if (response.ok) return response;
      response.body?.cancel();
      if (response.status === 401) this.#token = null;
      if ([403, 404, 405].includes(response.status)) return null;
    } catch (cause) {
      throw new Unreachable("The live stream cannot be reached.", { code: "unreachable", cause });
    }
    throw new Unreachable("The live stream is not available at the moment.", { code: "unavailable" });
  }

  /** The token in use, for what it says of its owner. */
  async token() {
    if (this.#token === null || Date.now() > this.#ends - EARLY_MS) {
      const given = await this.getToken(this.#token !== null);
      this.#token = typeof given === "string" ? given : given?.token;
      const ends = given?.expires_at ?? Infinity; // RFC 3339, or seconds as in a JWT
      this.#ends = typeof ends === "number" ? ends * 1000 : Date.parse(ends);
      if (!this.#token) throw new ScripError("There is no login.", { status: 401, code: "no_token" });
    }
    return this.#token;
  }

  async #headers() {
    const headers = { Authorization: `Bearer ${await this.token()}`, Prefer: "big-integers=string" };
    if (this.organisation) headers["Scrip-Organisation"] = this.organisation;
    return headers;
  }

  async #attempt(method, path, body, key) {
    const ends = AbortSignal.timeout(this.timeoutMs);
    try {
      const headers = await this.#headers();
      if (body !== undefined) headers["Content-Type"] = "application/json";
      if (key) headers["Idempotency-Key"] = key;
      const request = { method, headers, body: body && JSON.stringify(body), signal: ends, cache: "no-store" };
      const response = await this.fetch(this.baseUrl + path, request);
      const text = await response.text();
      return { response, told: read(text) };
    } catch (failure) {
      if (failure instanceof ScripError) throw failure;
      return { failure };
    }
  }

  /** Milliseconds until the next attempt; null for an answer that stands. */
  #wait(response, told, attempt) {
    const busy = response?.status === 409 && told.code === "in_progress";
    const limited = response?.status === 429;
    if (response && !AGAIN.has(response.status) && !limited && !busy) return null;
    const asked = Number(response?.headers.get("Retry-After") ?? 0) * 1000;
    return Math.max(asked || 0, this.backoffMs * 2 ** attempt * (0.5 + Math.random()));
  }
}

function read(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function refusal(response, told, key) {
  const facts = { status: response.status, code: told.code ?? "http_error", problem: told, idempotencyKey: key };
  return new Refused(told.detail ?? `The service answered ${response.status}.`, facts);
}

function gaveUp(response, told, key, failure) {
  if (response?.status === 429) return refusal(response, told, key);
  const facts = { status: response?.status ?? 0, code: told?.code ?? "unreachable", problem: told ?? {} };
  return new Unreachable("The service cannot be reached.", { ...facts, idempotencyKey: key, cause: failure });
}
