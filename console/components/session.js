/** The elements with the login and the colours of the console itself: what the console's own pages load. */

import { createClient, setClient } from "./index.js";
import { sheet } from "./style.js";

const COLOURS = sheet(`
  :root {
    --scrip-color-scheme: dark; --scrip-accent: var(--accent); --scrip-accent-text: var(--on-accent);
    --scrip-surface: var(--card);
    --scrip-text: var(--text); --scrip-muted: var(--dim); --scrip-line: var(--line); --scrip-ok: var(--ok);
    --scrip-warn: var(--warn); --scrip-bad: var(--bad);
  }
  [data-theme="light"] { --scrip-color-scheme: light; }
`);

/** A token of the person who is signed in at the console. */
async function sessionToken() {
  const answer = await fetch("/session/token", { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!answer.ok) throw new Error("You are not signed in.");
  const session = await answer.json();
  if (session.role === "admin") client.http.organisation = session.organisation; // the one that is looked at
  return session;
}

/** The client of the console's pages. */
export const client = createClient({ getToken: sessionToken });

document.adoptedStyleSheets.push(COLOURS);
setClient(client);
