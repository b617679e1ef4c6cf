// What a view goes through, decided purely: an event comes in, the next state and one thing to do
// come out. The view acts on it.

import type { Status } from "./messages";
import type { Words } from "./words";

export type ViewState =
  /** An offer is out; this view has not been connected yet. */
  | { readonly name: "connecting" }
  /** Connected, but no frame has come. */
  | ({ readonly name: "waiting" } & Losses)
  /** A frame of the present connection has been shown. */
  | { readonly name: "playing" }
  /** The connection was lost and a new one is being made. `words`: why the last one failed. */
  | ({ readonly name: "reconnecting"; readonly words: Words | null } & Losses)
  /** Gave up for now: a person, a late answer or a new media process can still mend it. */
  | { readonly name: "failed"; readonly words: Words }
  /** `stream.close()` was called. */
  | { readonly name: "closed" }
  /** The kernel was restarted or shut down; this widget's other half does not exist any more. */
  | { readonly name: "gone" };

interface Losses {
  /** Connections lost in a row without a frame. */
  readonly losses: number;
  /** Whether this view has ever shown a frame. Then it never gives up. */
  readonly has_played: boolean;
}

/** What happens to one connection. */
export type PeerEvent =
  | { readonly type: "answered" }
  /** The kernel, or this browser, says no. */
  | { readonly type: "refused"; readonly words: Words }
  | { readonly type: "connected" }
  /** The connection is dead, or did not come up within `PATIENCE_MS` of the answer. */
  | { readonly type: "lost"; readonly words: Words }
  /** No answer for `PATIENCE_MS`. */
  | { readonly type: "overdue" };

export type ViewEvent =
  | PeerEvent
  /** The first frame of the present connection is on the screen. */
  | { readonly type: "frame" }
  /** A reason to try again if we have given up: a click, or the tab is back. */
  | { readonly type: "retry" }
  /** The network is back, or the wait for the next connection is to end: begins anew. */
  | { readonly type: "online" }
  /** The network may be another one. */
  | { readonly type: "doubt" }
  /** There is a new media process. */
  | { readonly type: "epoch" }
  | { readonly type: "status"; readonly status: Status }
  | { readonly type: "kernel-gone" };

export type Effect =
  | { readonly type: "none" }
  /** Drop the present connection, if any, and make a new one. */
  | { readonly type: "connect"; readonly delay_ms: number }
  | { readonly type: "disconnect" }
  /** Find out soon whether the present connection is alive. */
  | { readonly type: "probe" };

export interface Step {
  readonly state: ViewState;
  readonly effect: Effect;
}

/** How long the kernel may take to answer, and the connection to come up after that. */
export const PATIENCE_MS = 15_000;

/** So many connections are lost in a row, none of which showed a frame, before we give up or, ... */
const MAX_LOSSES = 5;
/** ... in a view that has played, go on at this pace. */
const SLOW_MS = 20_000;

/** A network comes back in several steps: each of them makes us wait so long for the next. */
const SETTLE_MS = 300;

const NO_ANSWER: Words = {
  problem: "the kernel has not answered",
  expected: `an answer within ${PATIENCE_MS / 1000} s; a kernel that is busy in one long call cannot give it`,
  fix: "wait for the running cell or interrupt it; if the kernel was restarted, run this cell again",
};

const CONNECTING: ViewState = { name: "connecting" };

const LEAVE: Step = { state: { name: "gone" }, effect: { type: "disconnect" } };

/** The first step of a view: connect, unless stream or kernel have already come to their end. */
export function begin(status: Status, is_kernel_gone: boolean): Step {
  if (is_kernel_gone) return LEAVE;
  const step = followStatus(CONNECTING, status);
  return step.state.name === "connecting" ? connect(step.state) : step;
}

export function next(state: ViewState, event: ViewEvent): Step {
  if (state.name === "closed" || state.name === "gone") return stay(state);
  switch (event.type) {
    case "answered":
      // After giving up: the offer was still being repeated, and the kernel has got round to it.
      return stay(state.name === "failed" ? CONNECTING : state);
    case "refused":
      return refuse(state, event.words);
    case "connected":
      return stay(connected(state));
    case "frame":
      return stay({ name: "playing" });
    case "lost":
      return lose(state, event.words);
    case "overdue":
      return runOutOfPatience(state);
    case "retry":
      return state.name === "failed" ? connect(CONNECTING) : stay(state);
    case "online":
      return isConnected(state) ? probe(state) : tryAnew(state);
    case "doubt":
      return isConnected(state) ? probe(state) : stay(state);
    case "epoch":
      return renew(state);
    case "status":
      return followStatus(state, event.status);
    case "kernel-gone":
      return LEAVE;
  }
}

/** The pause before the next connection, after so many were lost: 0, 1, 2, 4, 8, 20, 20, ... s. */
export function backoff_ms(losses: number): number {
  if (losses <= 1) return 0;
  return losses > MAX_LOSSES ? SLOW_MS : 1000 * 2 ** (losses - 2);
}

function connected(state: ViewState): ViewState {
  switch (state.name) {
    case "connecting":
    case "failed":
      return { name: "waiting", losses: 0, has_played: false };
    case "reconnecting":
      return { name: "waiting", losses: state.losses, has_played: state.has_played };
    default:
      return state;
  }
}

function lose(state: ViewState, words: Words): Step {
  switch (state.name) {
    case "connecting":
      return giveUp(words);
    case "playing": // Most such losses mend themselves at once: nothing to read yet.
      return reconnect({ losses: 1, has_played: true }, null);
    case "waiting":
    case "reconnecting":
      return loseAgain(state, words);
    default:
      return stay(state);
  }
}

function loseAgain({ losses, has_played }: Losses, words: Words): Step {
  const goes_on = has_played || losses < MAX_LOSSES;
  return goes_on ? reconnect({ losses: losses + 1, has_played }, words) : giveUp(words);
}

function refuse(state: ViewState, words: Words): Step {
  return state.name === "reconnecting" && state.has_played
    ? loseAgain(state, words)
    : giveUp(words);
}

// The connection is left as it is: its offer goes on being repeated, and a late answer is used.
function runOutOfPatience(state: ViewState): Step {
  if (state.name === "reconnecting" && state.has_played) {
    return stay({ ...state, words: NO_ANSWER });
  }
  return state.name === "connecting" || state.name === "reconnecting"
    ? stay({ name: "failed", words: NO_ANSWER })
    : stay(state);
}

function renew(state: ViewState): Step {
  switch (state.name) {
    case "playing":
      return reconnect({ losses: 1, has_played: true }, null);
    case "waiting":
    case "reconnecting":
      return reconnect({ losses: 1, has_played: state.has_played }, null);
    default:
      return connect(CONNECTING);
  }
}

function tryAnew(state: ViewState): Step {
  return connect(state.name === "reconnecting" ? state : CONNECTING, SETTLE_MS);
}

function isConnected({ name }: ViewState): boolean {
  return name === "waiting" || name === "playing";
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

function probe(state: ViewState): Step {
  return { state, effect: { type: "probe" } };
}

function giveUp({ problem, expected, fix }: Words): Step {
  const words = { problem, expected, fix };
  return { state: { name: "failed", words }, effect: { type: "disconnect" } };
}

function reconnect(losses: Losses, words: Words | null): Step {
  return {
    state: { name: "reconnecting", words, ...losses },
    effect: { type: "connect", delay_ms: backoff_ms(losses.losses) },
  };
}

function connect(state: ViewState, delay_ms = 0): Step {
  return { state, effect: { type: "connect", delay_ms } };
}
