// A WebSocket to one stream's media process that is opened again whenever it ends, and closed while
// nobody looks: browsers then hold timers back, and the media process would take us for dead.

import type { Ping } from "../messages";
import { backoff_ms } from "../state";
import { after, every } from "../timers";

const PING_MS = 2000;
/** After so long without a word the connection is dead, even if the browser has not noticed. */
const SILENT_MS = 8000;

export interface LinkOptions {
  readonly url: string;
  readonly onText: (text: string) => void;
  /** It has ended, or could not be opened: then `code` is 1006. It is tried again. */
  readonly onClosed: (code: number, reason: string) => void;
  readonly stop: AbortSignal;
}

export class Link {
  readonly #options: LinkOptions;
  #socket: WebSocket | null = null;
  #failures = 0;
  #heard_ms = 0;
  /** Ends the present socket, or the wait before it. */
  #attempt = new AbortController();

  constructor(options: LinkOptions) {
    this.#options = options;
    const { stop } = options;
    stop.addEventListener("abort", () => this.#attempt.abort(), { once: true });
    const resume = () => this.#socket === null && this.#open();
    window.addEventListener("online", resume, { signal: stop });
    const look = () => (document.hidden ? this.#end() : resume());
    document.addEventListener("visibilitychange", look, { signal: stop });
    this.#open();
  }

  /** Sends a message, or drops it while there is no connection. */
  send(message: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #open(): void {
    this.#end();
    if (this.#options.stop.aborted || document.hidden) return;
    const { signal } = this.#attempt;
    const socket = new WebSocket(this.#options.url);
    this.#socket = socket;
    // Packets are not for us: this connection asks for none.
    socket.addEventListener("message", ({ data }) => this.#hear(data), { signal });
    socket.addEventListener("open", () => this.#begin(signal), { once: true, signal });
    const fail = ({ code, reason }: CloseEvent) => this.#fail(code, reason);
    socket.addEventListener("close", fail, { once: true, signal });
    signal.addEventListener("abort", () => socket.close(), { once: true });
  }

  #begin(attempt: AbortSignal): void {
    this.#heard_ms = performance.now();
    every(PING_MS, () => this.#ping(), attempt);
  }

  #ping(): void {
    if (performance.now() - this.#heard_ms > SILENT_MS) return this.#fail(1006, "");
    const states = { is_paused: false, is_relayed_by_tcp: false };
    const ping: Ping = { type: "Ping", sent_ms: performance.now(), ...states };
    this.send(ping);
  }

  #hear(data: unknown): void {
    this.#heard_ms = performance.now();
    if (typeof data !== "string") return;
    this.#failures = 0;
    this.#options.onText(data);
  }

  #fail(code: number, reason: string): void {
    this.#end();
    this.#failures += 1;
    this.#options.onClosed(code, reason);
    after(1000 + backoff_ms(this.#failures), () => this.#open(), this.#attempt.signal);
  }

  #end(): void {
    this.#attempt.abort();
    this.#attempt = new AbortController();
    this.#socket = null;
  }
}
