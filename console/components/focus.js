/** The keyboard in a dialog. */

const FOCUSABLE = "button:not([disabled]), a[href], input";

/** Let Tab go around inside the dialog that the event belongs to. */
export function keepInside(event, root) {
  if (event.key !== "Tab") return;
  const all = [...event.currentTarget.querySelectorAll(FOCUSABLE)];
  const [first, last] = [all[0], all.at(-1)];
  if (root.activeElement !== (event.shiftKey ? first : last)) return;
  event.preventDefault();
  (event.shiftKey ? last : first).focus();
}
