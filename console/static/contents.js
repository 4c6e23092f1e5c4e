// Choosing what to delete: says what it frees and what that is enough for; deletes only after the time to undo.
const UNDO_MS = 6000;
const MB = 1024 * 1024;
const form = document.getElementById("contents");
const count = new Intl.NumberFormat();

const boxes = () => [...form.querySelectorAll("input[name=id]")];
const size = (bytes) => (bytes >= 1024 * MB ? `${count.format(+(bytes / 1024 / MB).toFixed(1))} GB` : bytes >= MB ? `${count.format(+(bytes / MB).toFixed(1))} MB` : `${count.format(Math.round(bytes / 1024))} KB`);

function show() {
  const chosen = boxes().filter((box) => box.checked);
  const freed = chosen.reduce((sum, box) => sum + Number(box.dataset.bytes), 0);
  const room = Number(form.dataset.free) + freed;
  const enough = room >= Number(form.dataset.video) ? "enough for your video" : room >= Number(form.dataset.image) ? "enough for an image" : "not enough for an image yet";
  document.getElementById("chosen").textContent = chosen.length
    ? `${chosen.length === 1 ? "1 chosen" : `${count.format(chosen.length)} chosen`}: frees ${size(freed)}, ${enough}`
    : "Choose what you can do without.";
  form.querySelector("button.danger").disabled = !chosen.length;
  const all = form.querySelector("[data-all]");
  all.checked = chosen.length > 0 && chosen.length === boxes().length;
  all.indeterminate = chosen.length > 0 && !all.checked;
}

function send(data) {
  return fetch(form.action, { method: "POST", body: data, headers: { Accept: "application/json" }, keepalive: true });
}

function remove(event) {
  event.preventDefault();
  delete form.dataset.sent;
  const data = new FormData(form);
  const rows = data.getAll("id").map((id) => form.querySelector(`[data-row="${CSS.escape(id)}"]`));
  rows.forEach((row) => (row.hidden = true));

  const toast = document.createElement("div");
  toast.className = "toast";
  toast.setAttribute("role", "status");
  const text = document.createElement("span");
  text.textContent = rows.length === 1 ? "1 generation will be deleted." : `${count.format(rows.length)} generations will be deleted.`;
  const undo = document.createElement("button");
  undo.type = "button";
  undo.textContent = "Undo";
  toast.append(text, undo);
  document.body.append(toast);
  undo.focus();

  let over = false;
  const finish = async () => {
    if (over) return;
    over = true;
    removeEventListener("pagehide", finish);
    const answer = await send(data);
    toast.remove();
    if (answer.ok) location.reload();
    else {
      rows.forEach((row) => (row.hidden = false));
      document.getElementById("chosen").textContent = "That could not be deleted. Try again.";
    }
  };
  const timer = setTimeout(finish, UNDO_MS);
  addEventListener("pagehide", finish);
  undo.addEventListener("click", () => {
    over = true;
    clearTimeout(timer);
    removeEventListener("pagehide", finish);
    rows.forEach((row) => (row.hidden = false));
    toast.remove();
    form.querySelector("button.danger").focus();
  });
}

if (form) {
  form.addEventListener("change", (event) => {
    if ("all" in event.target.dataset) boxes().forEach((box) => (box.checked = event.target.checked));
    show();
  });
  form.addEventListener("submit", remove);
  show();
}
