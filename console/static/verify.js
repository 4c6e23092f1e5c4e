// Starts a verify and shows how far it is: the answer is a stream of progress that ends with the report.
const button = document.getElementById("verify");
const progress = document.getElementById("progress");
const report = document.getElementById("report");
const count = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

async function* messages(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
      const lines = rest.slice(0, end).split("\n");
      const field = (name) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
      if (field("data")) yield { event: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

function step({ section, done, total }) {
  const bar = progress.querySelector("progress");
  const name = section ? words(section) : "beginning";
  progress.querySelector("[data-told]").textContent = total ? `${name}: ${count.format(done)} of ${count.format(total)}` : name;
  if (total) bar.value = (100 * done) / total;
  else bar.removeAttribute("value");
}

const badge = (holds) => document.getElementById(holds ? "holds" : "differs").content.cloneNode(true);
const words = (name) => name.replaceAll("_", " ");

function cell(label, ...content) {
  const made = document.createElement("td");
  made.dataset.label = label;
  made.append(...content);
  return made;
}

function row({ name, ok, checked, seconds, first_difference: difference }) {
  const made = document.createElement("tr");
  const counted = Object.entries(checked).map(([what, number]) => `${count.format(number)} ${number === 1 ? words(what).replace(/s\b/, "") : words(what)}`).join(", ");
  const where = difference ? [document.createElement("br"), `${difference.where}: expected ${difference.expected}, found ${difference.found}`] : [];
  const told = document.createElement("span");
  told.append(counted, ...where);
  made.append(cell("Section", words(name)), cell("Result", badge(ok)), cell("Checked", told), cell("Took", seconds === undefined ? "" : `${count.format(seconds)} s`));
  made.lastChild.className = "num";
  return made;
}

function show(told) {
  document.getElementById("last").hidden = true;
  // Who is not the platform's admin is told of the own organisation's events alone; null where counting took too long.
  const own = "events" in told;
  const events = own ? told.events : Object.values(told.positions).reduce((sum, position) => sum + position, 0);
  const counted = own ? "All events" : `All ${count.format(events)} events`;
  const yours = own && events !== null ? ` ${count.format(events)} of them are your organisation's.` : "";
  const differing = told.sections.filter(({ ok }) => !ok).map(({ name }) => words(name));
  say(told.ok ? "Verify holds" : "Verify does not hold", told.ok
    ? `${counted} are as they were written, and everything derived from them agrees with them.${yours}`
    : `Different: ${differing.join(", ")}. ${counted} were checked.${yours}`);
  report.querySelector("[data-badge]").replaceChildren(badge(told.ok));
  report.querySelector("[data-help]").hidden = told.ok;
  report.querySelector("tbody").replaceChildren(...told.sections.map(row));
  report.querySelector(".scroll").hidden = false;
}

function say(verdict, text) {
  report.hidden = false;
  report.querySelector("[data-verdict]").textContent = verdict;
  report.querySelector("[data-words]").textContent = text;
}

function fail(text) {
  say("Verify did not run to its end", text);
  report.querySelector("[data-badge]").replaceChildren();
  report.querySelector(".scroll").hidden = true;
}

button.addEventListener("click", async () => {
  let ended = false;
  button.disabled = true;
  progress.hidden = false;
  report.hidden = true;
  step({ section: "", done: 0, total: 0 });
  try {
    const { token, organisation } = await (await fetch("/session/token")).json();
    const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream", "Scrip-Organisation": organisation };
    const answer = await fetch("/api/v1/audit/verify", { headers });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    for await (const { event, data } of messages(answer)) {
      if (event === "progress") step(data);
      if (event === "report") show(data);
      if (event === "problem") fail(data.detail);
      ended ||= event !== "progress";
    }
    if (!ended) fail("The connection ended before the report. Verify again to see it.");
  } catch (error) {
    fail(error.message);
  }
  progress.hidden = true;
  button.disabled = false;
});
