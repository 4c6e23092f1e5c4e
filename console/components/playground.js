/** The playground: each element with a live service behind it, and requests that are refused for each reason. */

import { client } from "./session.js";

const MB = 1_048_576;
const LONGEST_LOG = 12;
const $ = (id) => document.getElementById(id);
const [form, select, prompt, dialog, cost] = ["generate", "what", "prompt", "dialog", "cost"].map($);
const choices = [];
let running = null;

/** Requests that come out as their name says, made from what the person has now. */
const SCENARIOS = {
  enough: async () => ({ operation: "upload", bytes: 1 }),
  tokens: async ({ tokens }) => ({ operation: "playground", tokens: Number(tokens.available) + 50 }),
  storage: async ({ storage }) => ({ operation: "upload", bytes: storage.available + 5 * MB }),
  both: async ({ tokens, storage }) => ({
    operation: "video",
    tokens: Number(tokens.available) + 50,
    bytes: storage.available + 5 * MB,
  }),
  credits: async ({ credits }) => {
    const request = {
      operation: "video",
      provider: "MiniMax",
      model: "MiniMax-Hailuo-02",
      options: { resolution: "1080P", duration: 6 },
    };
    const { credits: one } = await client.quote(request);
    return { ...request, options: { ...request.options, count: Math.floor(credits.available / one) + 1 } };
  },
  budget: async ({ budget }) => {
    const priced = choices.find(({ usd }) => usd);
    if (!priced) throw new Error("The price book has nothing that costs money.");
    const count = Math.floor(Number(budget.remaining) / Number(priced.usd)) + 1;
    return { ...priced.request, options: { ...priced.request.options, count } };
  },
  group: async ({ groups }) => {
    const group = groups.find(({ remaining }) => remaining.image !== null);
    if (!group) throw new Error("You are in no group with a limit of images.");
    return { operation: "image", options: { count: group.remaining.image + 1 } };
  },
  plan: async () => ({ operation: "chat", feature: "generate_goal" }),
};

function note(text) {
  const log = $("log");
  log.querySelector("[data-empty]")?.remove();
  const line = document.createElement("li");
  line.textContent = text;
  log.prepend(line);
  while (log.children.length > LONGEST_LOG) log.lastChild.remove();
}

/** Everything that the price book has, and the default estimates of what has no model. */
async function offer() {
  choices.push({ label: "A simple image, by tokens", request: { operation: "image" } });
  choices.push({ label: "A short video, by tokens", request: { operation: "video" } });
  const { entries } = await client.http.call("GET", "/api/v1/prices");
  for (const { provider, model, operation, options = {}, usd } of entries) {
    // In one order, however the book was written: resolution before duration, size before quality.
    const named = Object.keys(options).sort().reverse();
    const label = [model ?? operation, ...named.map((name) => options[name])].join(" ");
    const request = {
      operation: operation ?? "other",
      ...(provider && { provider }),
      ...(model && { model }),
      options,
    };
    choices.push({ label, request, usd });
  }
  select.replaceChildren(...choices.map(({ label }, place) => new Option(label, place)));
  chosen();
}

const request = () => choices[Number(select.value)].request;

function chosen() {
  cost.request = request();
}

/** One click: ask, hold, and say what is held; a refusal opens the dialog, which keeps the prompt. */
async function generate(what, text) {
  $("go").disabled = true;
  try {
    const told = await client.generate({ ...what, prompt: text || undefined });
    running = told.transaction_id;
    $("running-what").textContent = text || what.model || what.operation;
    $("running").hidden = false;
    dialog.forget();
    note(`Held: ${told.transaction_id}`);
  } catch (error) {
    if (error.check) dialog.show(error.check, { prompt: text, request: what });
    note(error.message);
  } finally {
    $("go").disabled = false;
  }
}

async function settle(action, told) {
  for (const id of ["succeed", "fail"]) $(id).disabled = true;
  try {
    await client[action](running);
    $("running").hidden = true;
    note(told);
  } catch (error) {
    note(error.message);
  }
  for (const id of ["succeed", "fail"]) $(id).disabled = false;
}

async function scenario(name) {
  try {
    const what = await SCENARIOS[name](await client.me());
    const check = await client.check(what);
    if (check.can_proceed) note("May run: there is enough of everything.");
    else dialog.show(check, { prompt: prompt.value, request: what });
  } catch (error) {
    note(error.message);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void generate(request(), prompt.value);
});
select.addEventListener("change", chosen);
$("succeed").addEventListener("click", () => void settle("confirm", "Charged."));
$("fail").addEventListener("click", () => void settle("rollback", "Given back: nothing was charged."));
$("scenarios").addEventListener("click", (event) => {
  const name = event.target.closest("[data-scenario]")?.dataset.scenario;
  if (name) void scenario(name);
});
dialog.addEventListener("scrip-generate", ({ detail }) => {
  prompt.value = detail.prompt ?? "";
  void generate(detail.request, detail.prompt);
});
dialog.addEventListener("scrip-alternative", ({ detail: { alternative, prompt: kept, request: asked } }) => {
  const { provider, model, options } = alternative;
  const { operation, options: { count } = {} } = asked;
  void generate({ operation, provider, model, options: { ...options, ...(count && { count }) } }, kept);
});
for (const type of ["scrip-close", "scrip-action", "scrip-recheck", "scrip-refreshed", "scrip-budget-saved"])
  document.addEventListener(type, () => note(`Event ${type}`));

offer().catch((error) => note(error.message));
