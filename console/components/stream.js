/** Server-sent events over fetch: a login in a header, resumption by the last id, no list of event types to know. */

const SILENCE_MS = 40_000; // the service says that it is alive every 15 s
const LONGEST_PAUSE_MS = 30_000;
const POLL_MS = 15_000;

/**
 * One connection to `GET /api/v1/stream`.
 *
 * `onState` is told "live", "reconnecting" or "polling" (the service has no stream for this login); `onEvent` each
 * event as {id, type, data}; `onGap` when something may have been missed, so that everything is to be read again.
 */
export class LiveStream {
  #stopped = new AbortController();
  #lastId = null;

  constructor(http, { onEvent, onState, onGap }) {
    this.http = http;
    Object.assign(this, { onEvent, onState, onGap });
  }

  /** Follow until `stop`. Never raises: what fails is tried again. */
  async start() {
    const signal = this.#stopped.signal;
    for (let failures = 0; !signal.aborted;) {
      try {
        const resumed = this.#lastId ? `?last_event_id=${encodeURIComponent(this.#lastId)}` : "";
        const attempt = new AbortController();
        const response = await this.http.open(`/api/v1/stream${resumed}`, AbortSignal.any([signal, attempt.signal]));
        if (response === null) {
          this.onState("polling");
          await pause(POLL_MS, signal);
        } else {
          this.onState("live");
          this.onGap();
          const heard = await this.#follow(response.body.getReader(), attempt, () => (failures = 0));
          if (!heard) failures += 1; // something on the way ends streams at once
        }
      } catch {
        failures += 1;
      }
      if (signal.aborted) return;
      if (failures) this.onState("reconnecting");
      if (failures > 2) this.#lastId = null; // the log may be another one; everything is read again anyway
      this.onGap();
      await pause(Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failures) * (0.5 + Math.random()), signal);
    }
  }

  /** End the connection. */
  stop() {
    this.#stopped.abort();
  }

  /** Read until the end; whether anything came. A connection that is lost raises. */
  async #follow(reader, attempt, onHeard) {
    const decoder = new TextDecoder();
    let rest = "";
    let heard = false;
    for (;;) {
      const silent = setTimeout(() => attempt.abort(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silent));
      if (done) return heard;
      heard = true;
      onHeard();
      const blocks = (rest + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) this.#tell(block);
    }
  }

  #tell(block) {
    const found = { id: null, type: "message", data: "" };
    for (const line of block.split(/\r?\n/)) {
      const [, name, value] = /^([^:]+):? ?(.*)$/.exec(line) ?? [];
      if (name === "id") found.id = value;
      else if (name === "event") found.type = value;
      else if (name === "data") found.data += value;
    }
    if (found.id) this.#lastId = found.id;
    if (!found.data) return; // a heartbeat
    try {
      this.onEvent({ ...found, data: JSON.parse(found.data) });
    } catch {
      this.onGap();
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
