// What pages of administration need beside console.js: the panel's waiting state, instants of local times, rows of tables
// that are edited, and figures that are shown once.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { target, elt } = event.detail;
  if (target?.id === "panel-body" && elt.dataset.opens) {
    target.replaceChildren(document.getElementById("panel-waiting").content.cloneNode(true));
  }
});

const FIELDS = "input:not([type=hidden]), select, textarea, button";

document.addEventListener("htmx:afterSwap", (event) => {
  prepare(event.target);
  voidPreview(event.target);
});

// The panel's wrong field gets the focus, else the one that the part names, else the first. Not before it has settled:
// until then htmx puts the focus where it was.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "panel-body") return;
  if (!markWrong(event.target)) (event.target.querySelector("[autofocus]") ?? event.target.querySelector(FIELDS))?.focus();
});

// The field that a refusal means is marked and gets the focus. Returns whether there is one.
function markWrong(root) {
  const told = root.querySelector("[data-wrong]");
  const name = told?.dataset.wrong && `[name="${CSS.escape(told.dataset.wrong)}"]:not([type=hidden])`;
  const field = name && told.parentElement.querySelector(name);
  if (!field) return false;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-errormessage", told.id);
  field.focus();
  return true;
}

const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });

function prepare(root) {
  root.querySelectorAll("[data-instant]").forEach((field) => {
    const name = zone.formatToParts(new Date()).find((part) => part.type === "timeZoneName")?.value ?? "";
    const shown = field.closest(".field").querySelector("[data-zone-name]");
    if (shown) shown.textContent = `(your time, ${name})`;
  });
}

// A preview of other figures than those in the form is gone.
function voidPreview(changed) {
  const form = changed.closest("[data-voids]");
  if (form) document.getElementById(form.dataset.voids).replaceChildren();
}

document.addEventListener("input", (event) => {
  const field = event.target;
  voidPreview(field);
  if (!field.dataset.instant) return;
  const moment = new Date(field.value);
  field.form.elements[field.dataset.instant].value = Number.isNaN(moment.getTime()) ? "" : moment.toISOString();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.addsRow) {
    const template = document.getElementById(button.dataset.addsRow);
    const body = document.getElementById(template.dataset.rows);
    body.append(template.content.cloneNode(true));
    body.lastElementChild.querySelector("input").focus();
    body.dispatchEvent(new Event("input", { bubbles: true }));
  }
  if ("removesRow" in button.dataset) {
    const body = button.closest("tbody");
    button.closest("tr").remove();
    body.dispatchEvent(new Event("input", { bubbles: true }));
    (body.querySelector("input") ?? document.querySelector("[data-adds-row]"))?.focus();
  }
  if (button.dataset.copies) {
    const node = document.getElementById(button.dataset.copies);
    getSelection().selectAllChildren(node); // where there is no clipboard, it is selected at least
    navigator.clipboard?.writeText(node.textContent).then(() => {
      button.textContent = "Copied";
    });
  }
  if ("checksAll" in button.dataset) {
    const boxes = [...button.closest("form").querySelectorAll("input[type=checkbox]")];
    const all = boxes.every((box) => box.checked);
    boxes.forEach((box) => {
      box.checked = !all;
    });
  }
});

prepare(document);
markWrong(document);

// What is shown once does not go by a key that was pressed too early, and the list behind it is read again.
const panel = document.getElementById("panel");
panel?.addEventListener("cancel", (event) => {
  if (panel.querySelector(".secret")) event.preventDefault();
});
document.addEventListener("panel-done", () => panel.close());
panel?.addEventListener("close", () => {
  if (panel.querySelector(".secret")) location.reload();
});

// A dialog whose form was refused is open again, with what is wrong.
document.querySelectorAll("[data-shows]").forEach((mark) => document.getElementById(mark.dataset.shows).showModal());
