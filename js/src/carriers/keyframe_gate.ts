// Which packets are decoded: from a keyframe on, as long as none is missing. Pure.

import type { Packet } from "./packet";

/** So seldom is a keyframe asked for. */
const REQUEST_MS = 500;

export interface Admission {
  readonly is_decodable: boolean;
  /** Whether to ask for a keyframe. */
  readonly is_request_due: boolean;
}

export class Gate {
  #is_open = false;
  #requested_ms = -Infinity;

  /** Takes the next packet; `is_full`: what waits for the decoder is enough. */
  take({ is_keyframe }: Packet, is_full: boolean, now_ms: number): Admission {
    this.#is_open = (this.#is_open || is_keyframe) && !is_full;
    const is_request_due = !this.#is_open && this.request(now_ms);
    return { is_decodable: this.#is_open, is_request_due };
  }

  /** A packet is missing: lets nothing pass before the next keyframe. */
  close(): void {
    this.#is_open = false;
  }

  /** Lets nothing pass before the next keyframe; returns whether to ask for one. */
  request(now_ms: number): boolean {
    this.close();
    if (now_ms - this.#requested_ms < REQUEST_MS) return false;
    this.#requested_ms = now_ms;
    return true;
  }
}
