// Times in the reader's own zone, and how long ago.
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "always", style: "narrow" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const named = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });

export function agoText(moment, now = Date.now()) {
  const seconds = Math.round((moment - now) / 1000);
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
  return ago.format(Math.trunc(seconds / length), unit);
}

function zoneName(moment) {
  return zone.formatToParts(moment).find((part) => part.type === "timeZoneName")?.value ?? "";
}

export function showTimes(root) {
  root.querySelectorAll("time[datetime]").forEach((node) => {
    const moment = new Date(node.dateTime);
    if (Number.isNaN(moment.getTime())) return;
    node.title = `${full.format(moment)} ${zoneName(moment)}`;
    if (node.dataset.as === "date") node.textContent = dated.format(moment);
    else if (node.dataset.as === "exact") node.textContent = node.title;
    else if (node.dataset.as === "ago") node.textContent = agoText(moment);
    else node.textContent = `${named.format(moment)} ${zoneName(moment)}`;
  });
}

setInterval(() => {
  document.querySelectorAll('time[data-as="ago"]').forEach((node) => {
    node.textContent = agoText(new Date(node.dateTime));
  });
}, 1000);
