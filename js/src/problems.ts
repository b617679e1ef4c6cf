// What can go wrong while a connection is made, in sentences for a person.

import { labelOfText } from "./candidate";
import type { Problem } from "./messages";

/** Something that went wrong while connecting; the connection may still come up. */
export interface ConnectionProblem extends Problem {
  /**
   * turn, stun: a server that this page uses. candidate: the browser rejected one of the kernel's.
   * kernel: something on the kernel's side.
   */
  readonly source: "turn" | "stun" | "candidate" | "kernel";
}

export const BROKEN_OFF: Problem = {
  problem: "the video connection broke off",
  expected: "an answer from the kernel over UDP every few seconds",
  fix: "check that this browser and the kernel's machine are still on the network",
};

export const NO_PICTURE: Problem = {
  problem: "connected, but no picture that this browser can decode has arrived",
  expected: "video as H.264 or VP8",
  fix: "look at stream.stats() in the kernel; if frames are sent, try another browser",
};

/** Whether it deserves only a note in the details: most connections come up without it. */
export function isMinor({ source }: ConnectionProblem): boolean {
  return source === "stun" || source === "candidate";
}

/** Sorts the present problems by when they were first known; `before` is the last result. */
export function oldestFirst(
  before: readonly ConnectionProblem[],
  now: readonly ConnectionProblem[],
): readonly ConnectionProblem[] {
  const rank = ({ source, problem }: ConnectionProblem) => {
    const index = before.findIndex((it) => it.source === source && it.problem === problem);
    return index === -1 ? before.length : index;
  };
  return now.toSorted((one, other) => rank(one) - rank(other));
}

export function kernelProblem({ problem, expected, fix }: Problem): ConnectionProblem {
  return { source: "kernel", problem: `on the kernel's side: ${problem}`, expected, fix };
}

export function candidateRejected(candidate: string, error: unknown): ConnectionProblem {
  return {
    source: "candidate",
    problem: `this browser rejected the kernel's candidate ${labelOfText(candidate)}: ${textOf(error)}`,
    expected: "a candidate as RFC 8839 describes it",
    fix: "look for a wrong address in GPUVIEW_PUBLIC_IP",
  };
}

/** The browser has no WebRTC, has it switched off, or cannot read the answer. */
export function browserFailed(error: unknown): Problem {
  return {
    problem: `this browser could not make a connection: ${textOf(error)}`,
    expected: "a browser with WebRTC and H.264 or VP8",
    fix: "allow WebRTC in the browser's settings and extensions, or use another browser",
  };
}

/** `new RTCPeerConnection` threw: the browser has no WebRTC, or rejects the servers. */
export function constructorFailed(error: unknown): Problem {
  if (!(error instanceof DOMException)) return browserFailed(error);
  // Chromium allows 500 at a time, and counts those that it has not collected yet.
  if (error.name === "UnknownError") return tooManyConnections(error);
  return {
    problem: `this browser rejected the STUN and TURN servers: ${textOf(error)}`,
    expected: "stun:, turn: and turns: URLs, the last two with a username and a credential",
    fix: "correct GPUVIEW_ICE_SERVERS, GPUVIEW_STUN_URL or GPUVIEW_TURN_URL",
  };
}

function tooManyConnections(error: DOMException): Problem {
  return {
    problem: `this browser opens no more connections: ${textOf(error)}`,
    expected: "less than 500 views in all tabs",
    fix: "reload the page, and display a stream once instead of in a loop",
  };
}

/** Returns the error's message without credentials, in case it quotes a URL that has them. */
function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/(\w+:)\S*@/g, "$1");
}
