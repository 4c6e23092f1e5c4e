// Recomputes an event's hash in the browser: SHA-256 over the previous hash, the head, and the stored bytes.
const proof = document.getElementById("proof");
const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const toHex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const stored = Uint8Array.from(atob(proof.dataset.bytes), (letter) => letter.charCodeAt(0));
proof.querySelector("[data-hex]").textContent = toHex(stored).replace(/(.{64})/g, "$1\n");

async function verdict() {
  if (!crypto.subtle) return "[data-impossible]"; // browsers offer it to safe origins alone
  const parts = [fromHex(proof.dataset.previous), new TextEncoder().encode(proof.dataset.head), stored];
  const whole = new Uint8Array(await new Blob(parts).arrayBuffer());
  return toHex(await crypto.subtle.digest("SHA-256", whole)) === proof.dataset.hash ? "[data-equal]" : "[data-different]";
}

const badge = proof.querySelector(await verdict()).content.cloneNode(true);
proof.querySelector("[data-verdict]").replaceChildren(badge);
