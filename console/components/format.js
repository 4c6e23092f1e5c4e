/** Numbers, sizes, money and times as people read them, in the reader's own locale. */

const KB = 1024;
const UNITS = ["B", "KB", "MB", "GB", "TB"];

/**
 * Whole numbers added exactly. The API sends one beyond 2^53 - 1 as a string of its digits, and so is such a sum; any
 * other is a number.
 */
export function add(...values) {
  if (values.every((value) => typeof value === "number")) {
    const sum = values.reduce((total, value) => total + value, 0);
    if (Math.abs(sum) <= Number.MAX_SAFE_INTEGER) return sum;
  }
  const whole = (value) => BigInt(typeof value === "number" ? Math.trunc(value) : value);
  const sum = values.reduce((total, value) => total + whole(value), 0n);
  return Number.isSafeInteger(Number(sum)) ? Number(sum) : String(sum);
}

/** A whole number less another, exactly. */
export const subtract = (value, less) => add(value, typeof less === "number" ? -less : -BigInt(less));

/** A whole number with its grouping: `1,250`; one beyond 2^53 - 1 as the string that the API sends. */
export function formatNumber(value, locale) {
  if (typeof value === "string" && /^-?\d+$/.test(value)) return new Intl.NumberFormat(locale).format(BigInt(value));
  return new Intl.NumberFormat(locale).format(value);
}

/** A number of tokens, shortened from a thousand on and never up: `950`, `1.2K`. */
export function formatTokens(value, locale) {
  const short = { notation: "compact", maximumFractionDigits: 1, roundingMode: "floor" };
  return new Intl.NumberFormat(locale, short).format(value);
}

/** A size in bytes in the largest unit that leaves at least 1: `195 MB`. 1 MB = 1,048,576 bytes. */
export function formatBytes(bytes, locale) {
  let power = 0;
  while (power < UNITS.length - 1 && Math.abs(bytes) >= KB ** (power + 1)) power += 1;
  const places = { maximumFractionDigits: power ? 2 : 0, roundingMode: "floor" };
  return `${new Intl.NumberFormat(locale, places).format(bytes / KB ** power)} ${UNITS[power]}`;
}

/** Decimal text as money: `$10.00`, `$0.0425`. */
export function formatMoney(amount, currency = "USD", locale = undefined) {
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 6 };
  return new Intl.NumberFormat(locale, {
    style: "currency",
    currency,
    currencyDisplay: "narrowSymbol",
    ...digits,
  }).format(Number(amount));
}

/** A share of 100 with at most one decimal: `97.5 %` where the locale writes it so. */
export function formatPercent(percent, locale) {
  const places = { style: "percent", maximumFractionDigits: 1, roundingMode: "floor" };
  return new Intl.NumberFormat(locale, places).format(percent / 100);
}

/** A day in the reader's own zone: `1 December 2026`. */
export function formatDate(time, locale) {
  return new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(new Date(time));
}

/** A day and time with its zone. */
export function formatTime(time, locale) {
  const parts = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat(locale, { ...parts, timeZoneName: "short" }).format(new Date(time));
}

/** How long ago, from milliseconds: the name of a text (`ago.seconds`, `ago.minutes`, `ago.hours`) and its number. */
export function agoOf(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return ["ago.seconds", seconds];
  return seconds < 3600 ? ["ago.minutes", Math.floor(seconds / 60)] : ["ago.hours", Math.floor(seconds / 3600)];
}

/** `lead_generation` as words: `Lead generation`. */
export function formatName(name) {
  const words = name.replace(/[_.-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
