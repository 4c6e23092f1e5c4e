/** The answers of the API in the form that the source documents give them, for the React hooks. */

import { subtract } from "./format.js";

/** The check, where it passes; raises an error with its sentence. */
export function passed(check) {
  if (check.can_proceed) return check;
  const failed = check.checks.find((each) => each.reason === check.reason);
  throw Object.assign(new Error(failed?.message ?? check.reason), { code: check.reason, check });
}

/** Whether a balance is enough; raises an error with S4's sentence where it is not. */
export function enough(required_, { available }) {
  if (available >= required_) return { hasEnough: true, available };
  const short = subtract(required_, available);
  const told =
    `Insufficient credits. You need ${required_} credits but only have ${available}.` +
    ` You're ${short} credits short.`;
  throw Object.assign(new Error(told), {
    code: "insufficient_credits",
    required: required_,
    available,
    deficit: short,
  });
}

/** A reservation with the id as the source documents name it. */
export const reservation = (told) => ({ ...told, transactionId: told.transaction_id });

/** Options without those that are not chosen. */
export const given = (options) =>
  Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && value !== null && value !== ""),
  );

/** The result of a check in the form of the source documents. */
export function resultOf(check) {
  return {
    canProceed: check.can_proceed,
    reason: check.reason,
    tokensNeeded: check.tokens_needed,
    storageNeeded: check.storage_needed,
    currentTokens: check.current_tokens,
    currentStorage: check.current_storage,
    storageLimit: check.storage_limit,
  };
}
