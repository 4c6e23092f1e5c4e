/** The dialog's figures as attributes, for those who have made a check of their own. */

/** Tokens and bytes; `…-needed` is what is missing. */
export const FIGURES = ["tokens-needed", "current-tokens", "storage-needed", "current-storage", "storage-limit"];

/** The check that an element's attributes amount to. */
export function checkOf(element) {
  const type = element.getAttribute("type");
  const [tokensNeeded, tokens, storageNeeded, used, limit] = FIGURES.map((name) =>
    Number(element.getAttribute(name) ?? 0),
  );
  const checks = [];
  if (type !== "storage") checks.push(short(type === "credits" ? "credits" : "tokens", tokensNeeded, tokens, null));
  if (["storage", "both"].includes(type))
    checks.push(short("storage", storageNeeded, Math.max(0, limit - used), limit));
  const storage = { current_storage: used, storage_limit: limit, storage_percent: limit ? (used * 100) / limit : 100 };
  return { can_proceed: false, reason: checks[0].reason, checks, ...storage, alternatives: [], actions: [] };
}

function short(resource, deficit, available, limit) {
  const numbers = { needed: available + deficit, available, limit, deficit };
  return { resource, subject: resource, ok: false, reason: `insufficient_${resource}`, ...numbers, message: "" };
}
