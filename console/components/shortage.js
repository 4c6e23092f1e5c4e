/** What a refused check means for the dialog: which variant, which figures, which ways out. */

const HREFS = {
  tokens: "/settings/tokens",
  plan: "/settings/subscription",
  generations: "/generations",
  budget: "/settings/budget",
  admin: "/support",
};
// What the service calls each way out, by which its own links are known.
const LABELS = {
  "Buy More Tokens": "tokens",
  "Buy More Credits": "tokens",
  "Upgrade Plan": "plan",
  "Delete Old Generations": "generations",
  "Upgrade for More Storage": "plan",
  "Raise Budget": "budget",
  "Ask Your Admin": "admin",
};
const WAYS = {
  tokens: [
    ["buy_tokens", "tokens"],
    ["upgrade", "plan"],
  ],
  credits: [
    ["buy_credits", "tokens"],
    ["upgrade", "plan"],
  ],
  storage: [
    ["delete", "generations"],
    ["upgrade_storage", "plan"],
  ],
  budget: [["budget", "budget"]],
  groups: [["admin", "admin"]],
  plan: [
    ["buy_tokens", "tokens"],
    ["upgrade", "plan"],
  ],
  plan_blocked: [["upgrade", "plan"]],
};
const ICONS = { storage: "database", budget: "wallet", groups: "group", plan: "plan" };
const PAID = ["tokens", "credits", "plan"];

/** The checks that failed, the reason first. */
export function failedChecks(check) {
  const failed = (check.checks ?? []).filter((each) => !each.ok);
  return failed.sort((a, b) => Number(b.reason === check.reason) - Number(a.reason === check.reason));
}

/** The name of the title: one resource's own, `both` for credits or tokens and storage, else `several`. */
export function titleOf(failed) {
  const resources = new Set(failed.map((each) => each.resource));
  if (resources.size === 1) {
    const [{ resource, reason }] = failed;
    if (resource === "plan" && reason !== "plan_blocked") return "plan_empty";
    return resource in WAYS ? resource : "several";
  }
  const paid = [...resources].filter((resource) => PAID.includes(resource));
  return resources.size === 2 && paid.length === 1 && resources.has("storage") ? "both" : "several";
}

/** The colours: `storage` is red and pink, all others yellow and orange, `both` has the two beside each other. */
export function themeOf(failed) {
  const title = titleOf(failed);
  return title === "storage" || title === "both" ? title : "tokens";
}

/** The icon of a resource. */
export const iconOf = (resource) => ICONS[resource] ?? "coin";

/** The ways out: [{key, href}], each once. `own` are an integrator's links by name, `check.actions` the service's. */
export function waysOut(check, failed, own) {
  const told = {};
  for (const { label, href } of check.actions ?? []) told[LABELS[label]] ??= href;
  const ways = failed.flatMap(({ resource, reason }) => WAYS[reason] ?? WAYS[resource] ?? WAYS.groups);
  const found = new Map(ways.map(([key, to]) => [key, { key, href: own[to] ?? told[to] ?? HREFS[to] }]));
  return [...found.values()];
}
