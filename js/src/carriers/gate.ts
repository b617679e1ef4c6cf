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
  #next: number | null = null;
  #requested_ms = -Infinity;

  /** Takes the next packet; `is_full`: what waits for the decoder is enough. */
  take(packet: Packet, is_full: boolean, now_ms: number): Admission {
    const is_next = packet.is_keyframe || packet.seq === this.#next;
    if (is_next && !is_full) {
      this.#next = (packet.seq + 1) >>> 0;
      return { is_decodable: true, is_request_due: false };
    }
    this.#next = null;
    return { is_decodable: false, is_request_due: this.request(now_ms) };
  }

  /** Lets nothing pass before the next keyframe; returns whether to ask for one. */
  request(now_ms: number): boolean {
    this.#next = null;
    if (now_ms - this.#requested_ms < REQUEST_MS) return false;
    this.#requested_ms = now_ms;
    return true;
  }
}
