// Why the extension of the Jupyter server closes a WebSocket. Pure.

import type { Problem } from "../messages";

/** The extension's close codes; `gpuview.server.refusal` has them, too. */
export const CLOSE = {
  not_allowed: 4403,
  no_media_process: 4404,
  gone: 4410,
  too_many: 4429,
} as const;

/** So long the server is left alone that has too many WebSockets. */
const CROWDED_MS = 30_000;

/** Returns what a person can do about it; null if it passes by itself, or nothing is known. */
export function closingProblem(code: number, reason: string): Problem | null {
  switch (code) {
    case CLOSE.not_allowed:
      return {
        problem: reason,
        expected: "a media process on the Jupyter server's machine, of the same user",
        fix: "watch the stream in its notebook, which may reach the kernel another way",
      };
    case CLOSE.too_many:
      return {
        problem: reason,
        expected: "fewer views at a time",
        fix: "close other tabs that show streams, or raise c.GPUViewServer.max_sockets",
      };
    default:
      return null;
  }
}

/**
 * Returns how long no page should open another WebSocket to the stream. Whoever's media process has
 * gone need not wait: the next one is there in a moment.
 */
export function closing_ms(code: number): number {
  if (code === CLOSE.not_allowed) return Infinity;
  return code === CLOSE.too_many ? CROWDED_MS : 0;
}
