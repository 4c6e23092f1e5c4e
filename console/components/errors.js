/** What can go wrong when the service is asked, as types that callers can tell apart. */

/** Anything that the client reports. `code` is stable (an open list: treat an unknown one as refused). */
export class ScripError extends Error {
  /**
   * @param {string} message for people
   * @param {{status?: number, code?: string, problem?: object, idempotencyKey?: string, cause?: unknown}} [facts]
   */
  constructor(message, { status = 0, code = "error", problem = {}, idempotencyKey, cause } = {}) {
    super(message, { cause });
    this.name = new.target.name;
    this.status = status;
    this.code = code;
    this.problem = problem;
    this.idempotencyKey = idempotencyKey;
  }
}

/** The service has decided: no. `problem` is its body (RFC 9457) with the numbers; 402 is short of something. */
export class Refused extends ScripError {
  /** The body of the check, where the refusal is one of a check; null otherwise. */
  get check() {
    return Array.isArray(this.problem.checks) ? this.problem : null;
  }
}

/** The service could not be reached, or has not said what became of the request: nothing may be taken for granted. */
export class Unreachable extends ScripError {}
