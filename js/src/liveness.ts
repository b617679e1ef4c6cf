// Whether a connection is alive: pings the media process over it.

import type { Ping, Pong } from "./messages";
import type { Percentiles } from "./latency";
import { after, every } from "./timers";

/** Often enough that a link may be down for 5 s, wherever between two pings it fails. */
const PING_MS = 1000;
/**
 * Five seconds without a link may cost the answers to six pings, and its return takes a while, too.
 * The kernel drops a silent page after 8 s.
 */
const SILENCE_MS = 7500;
/** A timer that is this late was stopped: the machine slept. */
const SLEEP_MS = 10_000;
/** A probe pings more often, because pings get lost. */
const PROBE_PING_MS = 400;
/** News goes out twice: a data channel may lose a ping, and the next one comes late. */
const AGAIN_MS = 50;
/** A probed connection is dead if nothing comes back for so long. */
const PROBE_MS = 2000;

export interface LivenessOptions {
  /** Sends a ping, if the connection is open. */
  readonly send: (ping: Ping) => void;
  /** How old the picture is; told with each ping. */
  readonly latency: () => Percentiles | null;
  /** Whether nobody can see the picture, or a person has paused it; told with each ping. */
  readonly isPaused: () => boolean;
  /** Whether packets come through a relay by TCP; told with each ping. */
  readonly isRelayedByTcp: () => boolean;
  readonly onPong: (pong: Pong) => void;
  readonly onDead: () => void;
  readonly stop: AbortSignal;
}

export class Liveness {
  readonly #options: LivenessOptions;
  #heard_ms = performance.now();
  /** On the wall clock: monotonic clocks stop while a machine sleeps. */
  #checked_at = Date.now();
  #is_probing = false;

  /** Watches an open connection, from now until `stop` is aborted. */
  constructor(options: LivenessOptions) {
    this.#options = options;
    this.#ping();
    every(PING_MS, () => this.#check(), options.stop);
  }

  /** Takes the answer to a ping. */
  hear(pong: Pong): void {
    this.hearSomething();
    this.#options.onPong(pong);
  }

  /** Takes note that something has come. */
  hearSomething(): void {
    this.#heard_ms = performance.now();
  }

  /** Tells at once that `isPaused` has changed. */
  tell(): void {
    this.#ping();
    after(AGAIN_MS, () => this.#ping(), this.#options.stop);
  }

  /** Finds out soon whether the connection is still alive. */
  probe(): void {
    if (this.#is_probing) return;
    this.#is_probing = true;
    const asked_ms = performance.now();
    const probe = new AbortController();
    this.#ping();
    const { onDead, stop } = this.#options;
    every(PROBE_PING_MS, () => this.#ping(), AbortSignal.any([probe.signal, stop]));
    const judge = () => {
      probe.abort();
      this.#is_probing = false;
      if (this.#heard_ms <= asked_ms) onDead();
    };
    after(PROBE_MS, judge, stop);
  }

  #check(): void {
    const since_ms = Date.now() - this.#checked_at;
    this.#checked_at = Date.now();
    if (since_ms > PING_MS + SLEEP_MS) this.probe();
    else if (performance.now() - this.#heard_ms >= SILENCE_MS) this.#options.onDead();
    else this.#ping();
  }

  #ping(): void {
    const latency = this.#options.latency();
    this.#options.send({
      type: "Ping",
      sent_ms: performance.now(),
      is_paused: this.#options.isPaused(),
      is_relayed_by_tcp: this.#options.isRelayedByTcp(),
      ...(latency && { latency_p50_ms: latency.p50_ms, latency_p95_ms: latency.p95_ms }),
    });
  }
}
