// Whether a connection is alive: pings the media process over the data channel.

import { after, every } from "./timers";

/** So often that a link that is down for 5 s is back in time, wherever between two pings it fails. */
const PING_MS = 1000;
/**
 * A link that is down for 5 s may cost the answers to six pings, and its way back takes a while too.
 * The kernel lets a silent page go after 8 s.
 */
const SILENCE_MS = 7500;
/** A timer that is so late was stopped: the machine slept. */
const SLEEP_MS = 10_000;
/** A connection in doubt is asked so often, as pings get lost, ... */
const PROBE_PING_MS = 400;
/** ... and is dead when nothing comes back for so long. */
const PROBE_MS = 2000;

export class Liveness {
  readonly #channel: RTCDataChannel;
  readonly #onDead: () => void;
  readonly #stop: AbortSignal;
  #heard_ms = performance.now();
  /** By the clock on the wall: others stand still while a machine sleeps. */
  #checked_at = Date.now();
  #is_probing = false;

  /** Watches from now on, until `stop` is aborted. `channel` is open. */
  constructor(channel: RTCDataChannel, onDead: () => void, stop: AbortSignal) {
    this.#channel = channel;
    this.#onDead = onDead;
    this.#stop = stop;
    const hear = () => (this.#heard_ms = performance.now());
    channel.addEventListener("message", hear, { signal: stop });
    this.#ping();
    every(PING_MS, () => this.#check(), stop);
  }

  /** Something has happened that may have ended the connection: finds out soon. */
  probe(): void {
    if (this.#is_probing) return;
    this.#is_probing = true;
    const asked_ms = performance.now();
    const asking = new AbortController();
    this.#ping();
    every(PROBE_PING_MS, () => this.#ping(), AbortSignal.any([asking.signal, this.#stop]));
    const judge = () => {
      asking.abort();
      this.#is_probing = false;
      if (this.#heard_ms <= asked_ms) this.#onDead();
    };
    after(PROBE_MS, judge, this.#stop);
  }

  #check(): void {
    const since_ms = Date.now() - this.#checked_at;
    this.#checked_at = Date.now();
    if (since_ms > PING_MS + SLEEP_MS) this.probe();
    else if (performance.now() - this.#heard_ms >= SILENCE_MS) this.#onDead();
    else this.#ping();
  }

  #ping(): void {
    if (this.#channel.readyState === "open") this.#channel.send("ping");
  }
}
