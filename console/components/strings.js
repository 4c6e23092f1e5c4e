/** All words that the elements show. Any of them can be replaced, for the page or for one element. */

/** `{name}` is filled in; where a text has forms, `count` chooses among them by the plural rules of the language. */
const WORDS = {
  "unit.credits": { one: "{n} credit", other: "{n} credits" },
  "unit.tokens": { one: "{n} token", other: "{n} tokens" },
  "unit.image": { one: "{n} image", other: "{n} images" },
  "unit.video": { one: "{n} video", other: "{n} videos" },
  "title.tokens": "Insufficient Tokens",
  "title.credits": "Insufficient Credits",
  "title.storage": "Storage Full",
  "title.both": "More Is Needed, and Storage Is Full",
  "title.budget": "Monthly Budget Reached",
  "title.groups": "Group Limit Reached",
  "title.plan": "Not in Your Plan",
  "title.plan_empty": "Plan Tokens Used Up",
  "title.several": "Not Enough to Generate",
  "title.ready": "There Is Enough Now",
  "for.image": "Nothing has been charged. This image did not start.",
  "for.video": "Nothing has been charged. This video did not start.",
  "for.general": "Nothing has been charged, and nothing was started.",
  "label.balance": "Current balance",
  "label.needed": "Needed",
  "label.usage": "Current usage",
  "label.limit": "Storage limit",
  "label.percent": "In use",
  "label.space": "Additional space needed",
  "label.budget_left": "Left this month",
  "label.budget_cost": "This costs",
  "label.group_used": "Used by {group}",
  "label.group_needed": "This needs",
  "value.more": "{amount} more",
  "value.of": "{used} of {limit}",
  "bar.balance": "{have} of {needed} needed",
  "bar.storage": "{used} of {limit} in use",
  "tip.storage": "Tip: videos take the most space. Deleting one makes room for several images.",
  "action.buy_tokens": "Buy More Tokens",
  "action.buy_credits": "Buy More Credits",
  "action.upgrade": "Upgrade Plan",
  "action.delete": "Delete Old Generations",
  "action.upgrade_storage": "Upgrade for More Storage",
  "action.budget": "Raise Budget",
  "action.admin": "Ask Your Admin",
  "action.cancel": "Cancel",
  "action.close": "Close",
  "action.generate": "Generate",
  runs_now: "What would run now",
  "runs_now.line": "{label} costs {cost}, you have {have}",
  "runs_now.use": "Use this",
  "resets.budget": "Your monthly budget resets on {date}.",
  "resets.plan": "Your plan's tokens are refilled on {date}.",
  "resets.groups": "The group's limit resets on {date}.",
  "resets.groups_never": "The group's limit does not reset.",
  helper: "your administrator",
  "help.tokens": "Who can help: {helper} can give you tokens.",
  "help.credits": "Who can help: {helper} can give you credits.",
  "help.storage": "Who can help: {helper} can raise your storage limit.",
  "help.budget": "Who can help: you can raise your budget, up to what {helper} allows.",
  "help.groups": "Who can help: {helper} can raise the group's limit.",
  "help.plan": "Who can help: {helper} can upgrade the plan.",
  "prompt.kept": "Your prompt is kept:",
  "ready.text": "You can generate now. Nothing has to be typed again.",
  "credits.label": "Credits",
  "tokens.label": "Tokens",
  "credits.available": "{n} available",
  "credits.in_progress": "{n} in progress",
  "cost.costs": "costs {cost}",
  "cost.leaves": "leaves {left}",
  "cost.short": "{short} short",
  "cost.free": "costs nothing",
  "cost.blocked": "not possible now",
  "dashboard.title": "Plan tokens",
  "dashboard.plan": "Plan: {plan}",
  "dashboard.refresh": "Refresh",
  "dashboard.refreshed_on": "Refilled on {date}",
  "dashboard.balance": "{balance} of {allocated} left",
  "dashboard.reserved": "{n} in progress",
  "dashboard.last_used": "Last used {time}",
  "dashboard.never_used": "Not used yet",
  "dashboard.low": "{type}: only {balance} left. Refilled on {date}.",
  "dashboard.empty": "{type}: none left. Refilled on {date}.",
  "dashboard.low_undated": "{type}: only {balance} left.",
  "dashboard.empty_undated": "{type}: none left.",
  "dashboard.upgrade": "The plan {plan} has no tokens. Upgrade to use these features.",
  "status.ok": "Enough",
  "status.low": "Low",
  "status.empty": "Used up",
  "status.blocked": "Not in the plan",
  "budget.title": "Monthly budget",
  "budget.remaining": "{amount} remaining",
  "budget.used": "{used} of {monthly} used",
  "budget.reserved": "{amount} in progress",
  "budget.ends": "Resets on {date}",
  "budget.warning": "Warning: {percent} of the budget is used.",
  "budget.critical": "Critical: {percent} of the budget is used.",
  "budget.setting": "Monthly budget in USD",
  "budget.bounds": "From {least} to {most}",
  "budget.save": "Save",
  "budget.saved": "Saved",
  "budget.invalid": "Enter an amount from {least} to {most}.",
  "storage.title": "Storage",
  "storage.used": "{used} of {limit}",
  "storage.held": "{amount} more in progress",
  "storage.manage": "Manage stored generations",
  "ago.seconds": "{n} s ago",
  "ago.minutes": "{n} min ago",
  "ago.hours": "{n} h ago",
  updated: "updated {ago}",
  reconnecting: "reconnecting",
  loading: "Loading",
  unavailable: "Cannot be loaded at the moment.",
  retry: "Try again",
};

const page = new EventTarget();
let replaced = {};
let language = "en";

/**
 * Replace words for all elements of the page.
 * @param {Record<string, string | Record<string, string>>} strings by the names of `WORDS`
 * @param {{language?: string}} [options] the language that they are in, for its plural forms
 */
export function setStrings(strings, options = {}) {
  replaced = { ...replaced, ...strings };
  language = options.language ?? language;
  page.dispatchEvent(new Event("strings"));
}

/** Call `listener` whenever words are replaced. */
export function onStrings(listener) {
  page.addEventListener("strings", listener);
  return () => page.removeEventListener("strings", listener);
}

/** Whether there is such a text. */
export const hasWords = (name, own = {}) => name in own || name in replaced || name in WORDS;

/** The text of this name, filled in. `own` are an element's own words. */
export function words(name, values = {}, own = {}) {
  let text = own[name] ?? replaced[name] ?? WORDS[name] ?? name;
  if (typeof text === "object") text = text[new Intl.PluralRules(language).select(values.count ?? 0)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}
