/** What a person has and may change about it, beside generating: read and written over HTTP. */

import { newKey } from "./http.js";

/** Calls that need nothing but `http` and `store`, which a client has. Answers are those of the API. */
export class Account {
  /** The caller and what they have. */
  me() {
    return this.http.call("GET", "/api/auth/me");
  }

  /** Credits {available, reserved}, read now; what was clicked a moment ago included. */
  async balance(unit = "credits") {
    await this.store.refresh("me");
    const { error } = this.store.reading("me");
    if (error) throw error;
    return this.store.balance(unit);
  }

  /** The organisation's plan tokens by type. */
  tokens() {
    return this.http.call("GET", "/api/v1/tokens/stats");
  }

  /** The month's budget with its `alerts`. */
  async budget() {
    const path = "/api/v1/budgets/me";
    const [told, { alerts }] = await Promise.all([
      this.http.call("GET", path),
      this.http.call("GET", `${path}/alerts`),
    ]);
    return { ...told, alerts };
  }

  /** Set one's own monthly budget. @param {string} amount USD as decimal text */
  setBudget(amount) {
    const body = { monthly_budget: amount };
    return this.after(this.http.call("PUT", "/api/v1/budgets/me", { body }), "budget", "me");
  }

  /** What is stored, and the limit. */
  storage() {
    return this.http.call("GET", "/api/v1/storage/me");
  }

  /** What can be bought. */
  async packages() {
    return (await this.http.call("GET", "/api/v1/packages")).items;
  }

  /** Buy a package. Resolves with a pending purchase: pay at its `checkout_url`, or by invoice without one. */
  buy(packageId, { account, key = newKey() } = {}) {
    const body = { package: packageId, ...(account ? { account } : {}) };
    return this.after(this.http.call("POST", "/api/v1/purchases", { body, key }), "me", "tokens");
  }

  /** A group that one is in, with its limits and when they begin anew. */
  group(id) {
    return this.http.call("GET", `/api/groups/${encodeURIComponent(id)}`);
  }

  /** One's latest movements of credits, newest first. */
  async transactions(limit = 50) {
    const { user } = this.store.reading("me")?.value ?? (await this.me());
    const address = encodeURIComponent(`user:${user.id}:credits`);
    return (await this.http.call("GET", `/api/v1/accounts/${address}/transactions?limit=${limit}`)).items;
  }

  /** The answer of a change, once the readings that it concerns are current. */
  async after(answer, ...readings) {
    const told = await answer;
    await this.store.refresh(...readings);
    return told;
  }
}
