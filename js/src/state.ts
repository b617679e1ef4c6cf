// What a view goes through, decided purely: an event comes in, the next state and one thing to do
// come out. The view acts on it.

import type { Status } from "./messages";

/** Three sentences for a person, the same that the kernel's tracebacks and log carry. */
export interface Words {
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
}

export type ViewState =
  /** An offer is out; this view has not been connected yet. */
  | { readonly name: "connecting"; readonly answered: boolean }
  /** Connected, but no frame has come. `losses`: connections lost in a row without a frame. */
  | { readonly name: "waiting"; readonly losses: number }
  /** A frame of the present connection has been shown. */
  | { readonly name: "playing" }
  /** The connection was lost and a new one is being made. */
  | { readonly name: "reconnecting"; readonly answered: boolean; readonly losses: number }
  /** Gave up for now: a person, a late answer or a new media process can still mend it. */
  | { readonly name: "failed"; readonly words: Words }
  /** `stream.close()` was called. */
  | { readonly name: "closed" }
  /** The kernel was restarted or shut down; this widget's other half does not exist any more. */
  | { readonly name: "gone" };

/** What happens to one connection. */
export type PeerEvent =
  | { readonly type: "answered" }
  /** The kernel, or this browser, says no. */
  | { readonly type: "refused"; readonly words: Words }
  | { readonly type: "connected" }
  /** The connection is dead. */
  | { readonly type: "lost" }
  /** No answer, or no connection after the answer, for `PATIENCE_MS`. */
  | { readonly type: "overdue" };

export type ViewEvent =
  | PeerEvent
  /** The first frame of the present connection is on the screen. */
  | { readonly type: "frame" }
  /** A reason to try again if we have given up: a click, the network or the tab is back. */
  | { readonly type: "retry" }
  /** There is a new media process. */
  | { readonly type: "epoch" }
  | { readonly type: "status"; readonly status: Status }
  | { readonly type: "kernel-gone" };

export type Effect =
  | { readonly type: "none" }
  /** Drop the present connection, if any, and make a new one. */
  | { readonly type: "connect"; readonly delay_ms: number }
  | { readonly type: "disconnect" };

export interface Step {
  readonly state: ViewState;
  readonly effect: Effect;
}

/** How long the kernel may take to answer, and the connection to come up after that. */
export const PATIENCE_MS = 15_000;

/** So many connections are lost in a row, none of which showed a frame, before we give up. */
const MAX_LOSSES = 5;

const NO_ANSWER: Words = {
  problem: "the kernel has not answered",
  expected: `an answer within ${PATIENCE_MS / 1000} s; a kernel that is busy in one long call cannot give it`,
  fix: "wait for the running cell or interrupt it; if the kernel was restarted, run this cell again",
};

const NO_ROUTE: Words = {
  problem: "the kernel answered, but no video connection came up",
  expected: "a UDP route between this browser and the kernel; a firewall or NAT seems to block it",
  fix: "set GPUVIEW_PUBLIC_IP to the address where the kernel's UDP port can be reached, or GPUVIEW_TURN_URL to a TURN server",
};

const NO_PICTURE: Words = {
  problem: "connected, but no picture that this browser can decode has come",
  expected: "video as H.264 or VP8",
  fix: "look at stream.stats() in the kernel; if frames are sent, try another browser",
};

const LEAVE: Step = { state: { name: "gone" }, effect: { type: "disconnect" } };

/** The first step of a view: connect, unless stream or kernel have already come to their end. */
export function begin(status: Status, is_kernel_gone: boolean): Step {
  if (is_kernel_gone) return LEAVE;
  const step = followStatus({ name: "connecting", answered: false }, status);
  return step.state.name === "connecting" ? connect(step.state) : step;
}

export function next(state: ViewState, event: ViewEvent): Step {
  if (state.name === "closed" || state.name === "gone") return stay(state);
  switch (event.type) {
    case "answered":
      return stay(answered(state));
    case "refused":
      return giveUp(event.words);
    case "connected":
      return stay(connected(state));
    case "frame":
      return stay({ name: "playing" });
    case "lost":
      return lose(state);
    case "overdue":
      return runOutOfPatience(state);
    case "retry":
      return state.name === "failed"
        ? connect({ name: "connecting", answered: false })
        : stay(state);
    case "epoch":
      return renew(state);
    case "status":
      return followStatus(state, event.status);
    case "kernel-gone":
      return LEAVE;
  }
}

/** The pause before the next connection, after so many were lost: 0, 1, 2, 4, 8, 8, ... seconds. */
export function backoff_ms(losses: number): number {
  return losses <= 1 ? 0 : Math.min(8000, 1000 * 2 ** (losses - 2));
}

function answered(state: ViewState): ViewState {
  switch (state.name) {
    case "connecting":
    case "reconnecting":
      return { ...state, answered: true };
    case "failed": // The offer was still being repeated, and the kernel has got round to it.
      return { name: "connecting", answered: true };
    default:
      return state;
  }
}

function connected(state: ViewState): ViewState {
  switch (state.name) {
    case "connecting":
    case "failed":
      return { name: "waiting", losses: 0 };
    case "reconnecting":
      return { name: "waiting", losses: state.losses };
    default:
      return state;
  }
}

function lose(state: ViewState): Step {
  switch (state.name) {
    case "connecting":
      return stay({ name: "failed", words: NO_ROUTE });
    case "playing":
      return reconnect(1);
    case "waiting":
      return loseAgain(state.losses, NO_PICTURE);
    case "reconnecting":
      return loseAgain(state.losses, NO_ROUTE);
    default:
      return stay(state);
  }
}

function loseAgain(losses: number, words: Words): Step {
  return losses < MAX_LOSSES ? reconnect(losses + 1) : stay({ name: "failed", words });
}

// The connection is left as it is: its offer goes on being repeated, and a late answer is used.
function runOutOfPatience(state: ViewState): Step {
  if (state.name !== "connecting" && state.name !== "reconnecting") return stay(state);
  return state.answered ? lose(state) : stay({ name: "failed", words: NO_ANSWER });
}

function renew(state: ViewState): Step {
  return state.name === "connecting" || state.name === "failed"
    ? connect({ name: "connecting", answered: false })
    : reconnect(1);
}

function followStatus(state: ViewState, status: Status): Step {
  switch (status.state) {
    case "closed":
      return { state: { name: "closed" }, effect: { type: "disconnect" } };
    case "failed":
      return giveUp(status);
    default: // The others are shown beside the state and do not change it.
      return stay(state);
  }
}

function stay(state: ViewState): Step {
  return { state, effect: { type: "none" } };
}

function giveUp({ problem, expected, fix }: Words): Step {
  const words = { problem, expected, fix };
  return { state: { name: "failed", words }, effect: { type: "disconnect" } };
}

function reconnect(losses: number): Step {
  return {
    state: { name: "reconnecting", answered: false, losses },
    effect: { type: "connect", delay_ms: backoff_ms(losses) },
  };
}

function connect(state: ViewState): Step {
  return { state, effect: { type: "connect", delay_ms: 0 } };
}
