/** What the dialog shows: pure functions from a check to nodes. `el` gives words, numbers and the bar. */

import { h, icon, safeHref } from "./dom.js";
import { formatBytes, formatDate, formatMoney, formatNumber, formatPercent, formatTokens } from "./format.js";
import { iconOf } from "./shortage.js";
import { sheet } from "./style.js";

export const STYLE = sheet(`
  :host { display: contents; }
  dialog {
    --tokens: light-dark(#b45309, #fbbf24); --tokens-soft: light-dark(#fef3c7, #3a2c0c);
    --tokens-end: light-dark(#ffedd5, #43270f); --tokens-on: light-dark(#ffffff, #2b1a02);
    --storage: light-dark(#be123c, #fb7185); --storage-soft: light-dark(#ffe4e6, #3f1220);
    --storage-end: light-dark(#fce7f3, #40122c); --storage-on: light-dark(#ffffff, #34060f);
    --main: var(--tokens); --on: var(--tokens-on); --soft: var(--tokens-soft); --end: var(--tokens-end);
    color: var(--text); background: var(--surface); border: 1px solid var(--line);
    border-radius: calc(var(--radius) + 4px);
    padding: 0; width: min(30rem, calc(100vw - 1.5rem)); max-height: calc(100dvh - 1.5rem); overflow: auto;
    overscroll-behavior: contain;
    box-shadow: 0 20px 60px rgb(0 0 0 / 0.35);
  }
  dialog::backdrop { background: rgb(8 12 10 / 0.6); }
  dialog[data-theme="storage"] {
    --main: var(--storage); --on: var(--storage-on); --soft: var(--storage-soft); --end: var(--storage-end);
  }
  dialog[data-theme="both"] { --end: var(--storage-soft); }
  dialog[data-theme="ready"] {
    --main: var(--accent); --on: var(--accent-text); --soft: color-mix(in srgb, var(--accent) 16%, var(--surface));
    --end: var(--surface);
  }
  header {
    display: grid; grid-template-columns: auto 1fr auto; gap: 0.75rem; align-items: center; padding: 1rem;
    background: linear-gradient(100deg, var(--soft), var(--end));
  }
  header .badge { display: flex; gap: 0.3rem; color: var(--main); font-size: 1.7rem; }
  h2 { font-size: 1.2rem; line-height: 1.25; }
  .body { display: grid; gap: 1rem; padding: 1rem; }
  .short { display: grid; gap: 0.5rem; --fill: var(--tokens); }
  .short[data-resource="storage"] { --fill: var(--storage); }
  dl { display: grid; grid-template-columns: 1fr auto; gap: 0.3rem 1rem; }
  dd { font-weight: 650; text-align: end; }
  dd.needed { color: var(--fill); }
  .bar > span { background: var(--fill); }
  .note { background: var(--raised); border-radius: 8px; padding: 0.6rem 0.75rem; }
  .note p + p { margin-top: 0.35rem; }
  .alternatives { display: grid; gap: 0.5rem; }
  .alternatives li { display: flex; gap: 0.5rem 1rem; justify-content: space-between; align-items: center; }
  .actions { display: grid; gap: 0.6rem; }
  .actions .primary { background: var(--main); border-color: var(--main); color: var(--on); }
  .actions .primary:hover { background: var(--main); }
  .close { border: 0; padding: 0.4rem; min-width: 44px; }
  .prompt {
    white-space: pre-wrap; overflow-wrap: anywhere; max-height: 8rem; overflow: auto;
    border-inline-start: 3px solid var(--main); padding-inline-start: 0.7rem;
  }
`);

/** Head of the dialog: icons, title, and the button that closes it. */
export function head(el, title, icons, close) {
  const button = { class: "button close", type: "button", onclick: close, "aria-label": el.text("action.close") };
  return h(
    "header",
    {},
    h(
      "span",
      { class: "badge" },
      icons.map((name) => icon(name)),
    ),
    h("h2", { id: "title" }, el.text(`title.${title}`)),
    h("button", button, icon("close")),
  );
}

/** The figures of one resource that is short. */
export function section(el, check, told) {
  const draw = { storage, budget, groups, tokens: amount, credits: amount, plan: amount }[check.resource];
  if (!draw) return h("section", { class: "short", "data-key": check.resource }, h("p", {}, check.message));
  const { rows, share, told: bar } = draw(el, check, told);
  const list = rows.map(([label, value, needed]) => [
    h("dt", {}, label),
    h("dd", { class: `numbers${needed ? " needed" : ""}` }, value),
  ]);
  return h(
    "section",
    {
      class: "short",
      "data-resource": check.resource,
      "data-key": `${check.resource}/${check.subject}`,
      "aria-label": rows[0][0],
    },
    h("dl", {}, list),
    el.bar(rows[0][0], share, bar, "own"),
    check.resource === "storage" && h("p", { class: "note" }, el.text("tip.storage")),
  );
}

/** The icons of what is short, each once. */
export const iconsOf = (failed) => [...new Set(failed.map((check) => iconOf(check.resource)))];

/** What would run now, each with a button that takes it. */
export function alternatives(el, check, failed, model, use) {
  if (!check.alternatives?.length) return null;
  const have = (unit) => [...failed, ...check.checks].find((each) => each.resource === unit)?.available;
  const items = check.alternatives.map((other) => {
    const unit = ["credits", "tokens"].find((name) => other[name] > 0) ?? "budget";
    const show = (value) =>
      unit === "budget" ? formatMoney(value, other.currency, el.locale) : formatNumber(value, el.locale);
    const label = model && other.label.startsWith(`${model} `) ? other.label.slice(model.length + 1) : other.label;
    const values = { label, cost: show(unit === "budget" ? other.usd : other[unit]), have: show(have(unit) ?? 0) };
    const button = {
      class: "button",
      type: "button",
      onclick: () => use(other),
      "aria-label": `${el.text("runs_now.use")}: ${label}`,
    };
    return h(
      "li",
      { "data-key": other.label },
      h("span", {}, el.text("runs_now.line", values)),
      h("button", button, el.text("runs_now.use")),
    );
  });
  return h(
    "section",
    { "aria-labelledby": "others" },
    h("h3", { id: "others" }, el.text("runs_now")),
    h("ul", { class: "alternatives" }, items),
  );
}

/** When the limits begin anew and who can help. `resets` maps a resource to a time, or null for never. */
export function outlook(el, failed, resets) {
  const resources = [...new Set(failed.map((check) => check.resource))];
  const begins = resources.map((resource) => {
    if (!(resource in resets)) return null;
    if (resets[resource] === null) return resource === "groups" ? el.text("resets.groups_never") : null;
    return el.text(`resets.${resource}`, { date: formatDate(resets[resource], el.locale) });
  });
  const helper = el.getAttribute("helper") || el.text("helper");
  const help = resources.map((resource) =>
    el.hasText(`help.${resource}`) ? el.text(`help.${resource}`, { helper }) : null,
  );
  const lines = [...begins, ...help].filter(Boolean);
  return (
    lines.length > 0 &&
    h(
      "div",
      { class: "note" },
      lines.map((line) => h("p", {}, line)),
    )
  );
}

/** The prompt as it was typed. */
export function keptPrompt(el, prompt) {
  return (
    prompt &&
    h(
      "section",
      { "aria-label": el.text("prompt.kept") },
      h("p", { class: "muted" }, el.text("prompt.kept")),
      h("p", { class: "prompt" }, prompt),
    )
  );
}

/** The ways out, the first one prominent. */
export function ways(el, found, taken) {
  return found.map(({ key, href }, place) =>
    h(
      "a",
      {
        class: `button${place ? "" : " primary"}`,
        href: safeHref(href),
        "data-key": key,
        "data-action": key,
        onclick: (event) => taken(event, key, href),
      },
      el.text(`action.${key}`),
    ),
  );
}

function amount(el, check) {
  const unit = check.resource === "credits" ? "credits" : "tokens";
  const show = (value) => el.text(`unit.${unit}`, { n: counted(el, value), count: value });
  const [have, needed] = [check.available ?? 0, check.needed];
  const rows = [
    [el.text("label.balance"), show(have)],
    [el.text("label.needed"), el.text("value.more", { amount: show(check.deficit) }), true],
  ];
  return {
    rows,
    share: needed ? (have * 100) / needed : 0,
    told: el.text("bar.balance", { have: show(have), needed: show(needed) }),
  };
}

/** Short as `1.2K`, beside it the whole number where that says more: `1.2K (1,234)`. */
function counted(el, value) {
  const [short, whole] = [formatTokens(value, el.locale), formatNumber(value, el.locale)];
  const exact = value < 1000 || value % 100 === 0;
  return exact || value >= 1e6 ? short : `${short} (${whole})`;
}

function storage(el, check, told) {
  const size = (bytes) => formatBytes(bytes, el.locale);
  const limit = check.limit ?? told.storage_limit ?? 0;
  const used = told.current_storage ?? limit - (check.available ?? 0);
  const percent = limit ? (used * 100) / limit : 100;
  const of = { used: size(used), limit: size(limit) };
  const rows = [
    [el.text("label.usage"), size(used)],
    [el.text("label.limit"), size(limit)],
    [el.text("label.percent"), formatPercent(percent, el.locale)],
    [el.text("label.space"), el.text("value.more", { amount: size(check.deficit) }), true],
  ];
  return { rows, share: percent, told: el.text("bar.storage", of) };
}

function budget(el, check) {
  const money = (value) => formatMoney(value, check.currency, el.locale);
  const limit = Number(check.limit ?? 0);
  const left = Number(check.available ?? 0);
  const rows = [
    [el.text("label.budget_left"), el.text("value.of", { used: money(left), limit: money(limit) })],
    [el.text("label.budget_cost"), money(check.needed), true],
  ];
  return {
    rows,
    share: limit ? ((limit - left) * 100) / limit : 100,
    told: el.text("value.of", { used: money(limit - left), limit: money(limit) }),
  };
}

function groups(el, check) {
  const mine = el.reading("me")?.value?.groups.find(({ id }) => id === check.subject);
  const [limit, left] = [check.limit ?? 0, check.available ?? 0];
  const number = (value) => formatNumber(value, el.locale);
  const of = el.text("value.of", { used: number(limit - left), limit: number(limit) });
  const rows = [
    [el.text("label.group_used", { group: mine?.name ?? check.subject }), of],
    [el.text("label.group_needed"), number(check.needed), true],
  ];
  return { rows, share: limit ? ((limit - left) * 100) / limit : 100, told: of };
}
