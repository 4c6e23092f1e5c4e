/** Nodes from data, never from text: nothing that a user has typed can become markup. */

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "onsubmit", "oninput", "onkeydown", "onclose", "oncancel", "ontoggle"];

/**
 * An element. Attributes with null, undefined or false are left out; `on…` are listeners, `vars` custom properties.
 * Children are nodes or text; null and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else if (name === "vars") for (const [variable, is] of Object.entries(value)) node.style.setProperty(variable, is);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

/** An icon in the colour of the text around it, hidden from screen readers: its meaning is always told as text. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 24 24",
    class: "icon",
    "aria-hidden": "true",
    "data-icon": name,
  }))
    svg.setAttribute(key, value);
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** Make the children of `parent` like `wanted`, changing only what differs: focus, selection and typed text stay. */
export function morph(parent, wanted) {
  wanted = present(wanted).map((child) => (typeof child === "string" ? document.createTextNode(child) : child));
  wanted.forEach((node, place) => {
    const old = parent.childNodes[place];
    if (!old) parent.append(node);
    else if (alike(old, node)) become(old, node);
    else old.replaceWith(node);
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}

/** An address that a link may lead to; `#` for one that would run a script. */
export function safeHref(href) {
  try {
    const { protocol } = new URL(href, document.baseURI);
    return ["http:", "https:", "mailto:"].includes(protocol) ? href : "#";
  } catch {
    return "#";
  }
}

const present = (children) =>
  children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : visible(String(child))));

// domain/text.py: what would reorder the text around it, or steer a terminal that it is copied to.
const CODES =
  "\\u202a-\\u202e\\u2066-\\u2069\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f" +
  "\\ud800-\\udfff\\u2028\\u2029\\u{e0000}-\\u{e007f}";
const REORDERS = new RegExp(`[${CODES}]`, "gu");

/** A text of somebody's with such characters as their codes: `[U+202E]`. */
export const visible = (text) =>
  text.replace(REORDERS, (found) => `[U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

const alike = (a, b) =>
  a.nodeType === b.nodeType &&
  a.nodeName === b.nodeName &&
  a.namespaceURI === b.namespaceURI &&
  a.getAttribute?.("data-key") === b.getAttribute?.("data-key");

function become(old, node) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
  const style = node.getAttribute("style");
  for (const { name } of [...old.attributes]) {
    if (!node.hasAttribute(name) && !(old.nodeName === "DIALOG" && name === "open")) old.removeAttribute(name);
  }
  for (const { name, value } of [...node.attributes]) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // Through the object model: a strict Content-Security-Policy forbids the attribute.
  if (style !== null && old.style.cssText !== node.style.cssText) old.style.cssText = node.style.cssText;
  for (const handler of HANDLERS) old[handler] = node[handler];
  morph(old, [...node.childNodes]);
}

const ICONS = {
  coin: [
    "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z",
    "M14.8 9.2c-.5-.9-1.6-1.4-2.8-1.4-1.7 0-2.9.8-2.9 2s1.1 1.8 2.9 2.2",
    "M12.1 12c1.8.4 2.9 1 2.9 2.2s-1.2 2-2.9 2c-1.3 0-2.4-.5-2.9-1.5",
    "M12 6.2v11.6",
  ],
  database: [
    "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3Z",
    "M4 6v6c0 1.7 3.6 3 8 3s8-1.3 8-3V6",
    "M4 12v6c0 1.7 3.6 3 8 3s8-1.3 8-3v-6",
  ],
  wallet: ["M3 7a2 2 0 0 1 2-2h12v4", "M3 7v10a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2V9H5a2 2 0 0 1-2-2Z", "M16 14h2"],
  group: [
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Z",
    "M2.5 20c0-3.6 2.9-6 6.5-6s6.5 2.4 6.5 6",
    "M16 4.5a3.5 3.5 0 0 1 0 6.5",
    "M18 14.4c2.1.9 3.5 2.9 3.5 5.6",
  ],
  plan: ["M12 3l2.7 5.6 6.1.8-4.5 4.2 1.1 6.1L12 16.8l-5.4 2.9 1.1-6.1L3.2 9.4l6.1-.8L12 3Z"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  warning: ["M12 4 2.8 20h18.4L12 4Z", "M12 10v4.5", "M12 17.2v.3"],
  blocked: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z", "M5.7 5.7l12.6 12.6"],
  refresh: ["M20 11a8 8 0 1 0-2.3 6.2", "M20 4v7h-7"],
  close: ["M6 6l12 12", "M18 6 6 18"],
};
