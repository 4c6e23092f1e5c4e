/**
 * How the elements look. Everything can be set from outside by custom properties:
 *
 * --scrip-accent, --scrip-accent-text: buttons and links; --scrip-surface, --scrip-text, --scrip-muted, --scrip-line:
 * the ground; --scrip-ok, --scrip-warn, --scrip-bad: status; --scrip-coin; --scrip-font, --scrip-radius;
 * --scrip-color-scheme: `light`, `dark` or `light dark` (default: as the page, which follows the reader's system by its
 * own `color-scheme: light dark`). An element's attribute theme="light|dark" wins.
 */

/** A style sheet from CSS. */
export function sheet(css) {
  const made = new CSSStyleSheet();
  made.replaceSync(css);
  return made;
}

export const BASE = sheet(`
  :host {
    color-scheme: var(--scrip-color-scheme, inherit);
    --accent: var(--scrip-accent, light-dark(#047857, #34d399));
    --accent-text: var(--scrip-accent-text, light-dark(#ffffff, #06281d));
    --surface: var(--scrip-surface, light-dark(#ffffff, #161b19));
    --raised: color-mix(in srgb, var(--text) 6%, var(--surface));
    --text: var(--scrip-text, light-dark(#17201c, #e7eeea));
    --muted: var(--scrip-muted, light-dark(#4f5b55, #a9b6af));
    --line: var(--scrip-line, light-dark(#d3dbd7, #33403a));
    --ok: var(--scrip-ok, light-dark(#047857, #34d399));
    --warn: var(--scrip-warn, light-dark(#92400e, #fbbf24));
    --bad: var(--scrip-bad, light-dark(#be123c, #fb7185));
    --radius: var(--scrip-radius, 10px);
    font: 400 1rem/1.45 var(--scrip-font, system-ui, sans-serif);
    color: var(--text);
    display: block;
    container-type: inline-size;
  }
  :host([theme="light"]) { color-scheme: light; }
  :host([theme="dark"]) { color-scheme: dark; }
  :host([hidden]) { display: none; }
  * { box-sizing: border-box; }
  :is(a, b, button, dd, h2, h3, label, li, small, span, strong) { unicode-bidi: isolate; }
  h2, h3, p, ul, dl, dd { margin: 0; padding: 0; }
  ul { list-style: none; }
  .icon {
    width: 1.15em; height: 1.15em; flex: none; fill: none; stroke: currentColor; stroke-width: 1.9;
    stroke-linecap: round; stroke-linejoin: round; vertical-align: -0.2em;
  }
  .muted { color: var(--muted); font-size: 0.9em; }
  .card { background: var(--surface); border: 1px solid var(--line); border-radius: var(--radius); padding: 1rem; }
  .row { display: flex; gap: 0.5rem 0.75rem; align-items: center; flex-wrap: wrap; }
  .spread { justify-content: space-between; }
  .numbers { font-variant-numeric: tabular-nums; }
  .button {
    font: inherit; font-weight: 600; line-height: 1.2; cursor: pointer; text-decoration: none; text-align: center;
    display: inline-flex; align-items: center; justify-content: center; gap: 0.4rem;
    min-height: 44px; padding: 0.55rem 1rem; border-radius: calc(var(--radius) - 2px);
    color: var(--text); background: transparent; border: 1px solid var(--line);
  }
  .button.primary { color: var(--accent-text); background: var(--accent); border-color: var(--accent); }
  .button:hover { filter: brightness(1.06); background-color: var(--raised); }
  .button.primary:hover { background-color: var(--accent); }
  .button[disabled] { opacity: 0.6; cursor: default; }
  :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
  .bar {
    height: 0.6rem; border-radius: 1rem; background: var(--raised); border: 1px solid var(--line);
    overflow: hidden;
  }
  .bar > span {
    display: block; height: 100%; width: var(--share, 0%); background: var(--fill, var(--ok));
    transition: width 200ms ease-out;
  }
  .ok { --fill: var(--ok); } .warn { --fill: var(--warn); } .bad { --fill: var(--bad); }
  .status {
    display: inline-flex; gap: 0.3rem; align-items: center; font-size: 0.9em; font-weight: 600;
    color: var(--fill, var(--muted));
  }
  .skeleton {
    display: inline-block; min-width: 6em; height: 1em; border-radius: 4px; background: var(--raised);
    animation: pulse 1.4s ease-in-out infinite;
  }
  .skeleton.wide { display: block; width: 100%; height: 3.5rem; }
  .sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  @keyframes pulse { 50% { opacity: 0.45; } }
  @media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
  @media (forced-colors: active) { .bar > span { background: Highlight; forced-color-adjust: none; } }
`);
