// The states of a view, decided purely: an event comes in, the next state and one effect come out.
// The view carries out the effect.

import type { Problem, Status } from "./messages";

export type ViewState =
  /** An offer is out; this view has never been connected. */
  | { readonly name: "connecting" }
  /** Connected, but no frame has been shown yet. */
  | ({ readonly name: "waiting" } & Losses)
  /** Connected, but the browser starts no video until a person asks for it. */
  | ({ readonly name: "blocked" } & Losses)
  /** A frame of the present connection has been shown. */
  | { readonly name: "playing" }
  /** The connection was lost and a new one is being made. `problem`: why the last one failed. */
  | ({ readonly name: "reconnecting"; readonly problem: Problem | null } & Losses)
  /** Gave up, until a person retries, a late answer arrives or the media process is replaced. */
  | { readonly name: "failed"; readonly problem: Problem }
  /** A person stopped the picture: no other is sent until they go on. `is_held`: there still is the
   * connection that brought it. */
  | { readonly name: "paused"; readonly is_held: boolean }
  /** `stream.close()` was called. */
  | { readonly name: "closed" }
  /** The kernel was restarted or shut down, and the widget's other half with it. */
  | { readonly name: "gone" };

interface Losses {
  /** Connections lost in a row without a frame. */
  readonly losses: number;
  /** Whether this view has ever shown a frame. Then it never gives up. */
  readonly has_played: boolean;
}

/** What happens to one connection. */
export type ConnectionEvent =
  | { readonly type: "answered" }
  /** The kernel or this browser refuses. */
  | { readonly type: "refused"; readonly problem: Problem }
  | { readonly type: "connected" }
  /** The connection is dead, or did not come up within `TIMEOUT_MS` of the answer. */
  | { readonly type: "lost"; readonly problem: Problem }
  /** No answer for `TIMEOUT_MS`. */
  | { readonly type: "unanswered" };

export type ViewEvent =
  | ConnectionEvent
  /** The present connection has a frame on the screen, and it plays. */
  | { readonly type: "frame" }
  /** The browser refuses to play, as autoplay is blocked. */
  | { readonly type: "blocked" }
  /** A person pressed play. */
  | { readonly type: "play" }
  /** A person wants to keep the present picture. */
  | { readonly type: "pause" }
  /** A person wants the newest picture again. */
  | { readonly type: "resume"; readonly status: Status }
  /** A reason to try again if we have given up: a click, or the tab is visible again. */
  | { readonly type: "retry" }
  /** The network is back, or the wait for the next connection should end: start afresh. */
  | { readonly type: "online" }
  /** The network may be a different one. */
  | { readonly type: "network-change" }
  /** There is a new media process. */
  | { readonly type: "epoch" }
  | { readonly type: "status"; readonly status: Status }
  | { readonly type: "kernel-gone" };

export type Effect =
  | { readonly type: "none" }
  /** Drop the present connection, if any, and make a new one. */
  | { readonly type: "connect"; readonly delay_ms: number }
  | { readonly type: "disconnect" }
  /** Keep the picture, and the connection without one: what was shown before can be asked for. */
  | { readonly type: "hold" }
  /** Go on with the connection that was kept. */
  | { readonly type: "go-on" }
  /** Start the present connection's video. */
  | { readonly type: "play" }
  /** Find out soon whether the present connection is alive. */
  | { readonly type: "probe" };

export interface Step {
  readonly state: ViewState;
  readonly effect: Effect;
}

/** How long the kernel may take to answer, and then the connection to come up. */
export const TIMEOUT_MS = 15_000;

/** After this many losses in a row without a frame we give up or, ... */
const MAX_LOSSES = 5;
/** ... if the view has played before, go on at this pace. */
const SLOW_MS = 20_000;

/** A network comes back in several steps, and each of them restarts this wait. */
const SETTLE_MS = 300;

const NO_ANSWER: Problem = {
  problem: "the kernel has not answered",
  expected: `an answer within ${TIMEOUT_MS / 1000} s; a kernel that is busy in one long call cannot give it`,
  fix: "wait for the running cell or interrupt it; if the kernel was restarted, run this cell again",
};

const CONNECTING: ViewState = { name: "connecting" };

const LEAVE: Step = { state: { name: "gone" }, effect: { type: "disconnect" } };

/** The first step of a view: connect, unless the stream or the kernel has already ended. */
export function begin(status: Status, is_kernel_gone: boolean): Step {
  if (is_kernel_gone) return LEAVE;
  const step = followStatus(CONNECTING, status);
  return step.state.name === "connecting" ? connect(CONNECTING) : step;
}

export function next(state: ViewState, event: ViewEvent): Step {
  if (state.name === "closed" || state.name === "gone") return stay(state);
  if (state.name === "paused") return nextPaused(state, event);
  switch (event.type) {
    case "answered":
      // After giving up: the offer was still being repeated, and the kernel has got round to it.
      return stay(state.name === "failed" ? CONNECTING : state);
    case "refused":
      return refuse(state, event.problem);
    case "connected":
      return isConnected(state) ? stay(state) : play(state);
    case "frame":
      return stay({ name: "playing" });
    case "blocked":
      return isConnected(state) ? stay({ name: "blocked", ...lossesSoFar(state) }) : stay(state);
    case "play":
      return state.name === "blocked" ? play(state) : stay(state);
    case "pause":
      return pause(state.name === "playing");
    case "lost":
      return lose(state, event.problem);
    case "unanswered":
      return waitForAnswer(state);
    case "retry":
      return state.name === "failed" ? connect(CONNECTING) : stay(state);
    case "online":
      return isConnected(state) ? probe(state) : startAfresh(state);
    case "network-change":
      return isConnected(state) ? probe(state) : stay(state);
    case "resume": // It is under way.
      return stay(state);
    case "epoch":
      return replace(state);
    case "status":
      return followStatus(state, event.status);
    case "kernel-gone":
      return LEAVE;
  }
}

function pause(is_held: boolean): Step {
  return { state: { name: "paused", is_held }, effect: { type: is_held ? "hold" : "disconnect" } };
}

/** What fails meanwhile is found out when the picture is wanted again. */
function nextPaused(state: ViewState & { name: "paused" }, event: ViewEvent): Step {
  switch (event.type) {
    case "resume":
      return state.is_held ? goOn(event.status) : begin(event.status, false);
    case "lost":
      return pause(false);
    case "epoch": // What was held led to the media process before.
      return state.is_held ? pause(false) : stay(state);
    case "status":
      return event.status.state === "closed" ? followStatus(state, event.status) : stay(state);
    case "kernel-gone":
      return LEAVE;
    default:
      return stay(state);
  }
}

function goOn(status: Status): Step {
  const waiting: ViewState = { name: "waiting", losses: 0, has_played: true };
  const step = followStatus(waiting, status);
  return step.state.name === "waiting" ? { ...step, effect: { type: "go-on" } } : step;
}

/** The pause before the next connection, after so many losses: 0, 1, 2, 4, 8, 20, 20, ... s. */
export function backoff_ms(losses: number): number {
  if (losses <= 1) return 0;
  return losses > MAX_LOSSES ? SLOW_MS : 1000 * 2 ** (losses - 2);
}

function play(state: ViewState): Step {
  return { state: { name: "waiting", ...lossesSoFar(state) }, effect: { type: "play" } };
}

function lossesSoFar(state: ViewState): Losses {
  return lossesOf(state) ?? { losses: 0, has_played: false };
}

/** Returns null in a view that has not been connected since it last gave up, if ever. */
function lossesOf(state: ViewState): Losses | null {
  if (state.name === "playing") return { losses: 0, has_played: true };
  return "losses" in state ? { losses: state.losses, has_played: state.has_played } : null;
}

function lose(state: ViewState, problem: Problem): Step {
  const before = lossesOf(state);
  if (before === null) return state.name === "connecting" ? giveUp(problem) : stay(state);
  const { losses, has_played } = before;
  if (!has_played && losses >= MAX_LOSSES) return giveUp(problem);
  // The loss of a picture mostly mends itself at once: nothing to read yet.
  const shown = state.name === "playing" ? null : problem;
  return reconnect({ losses: losses + 1, has_played }, shown);
}

function refuse(state: ViewState, problem: Problem): Step {
  return state.name === "reconnecting" && state.has_played ? lose(state, problem) : giveUp(problem);
}

// The connection stays as it is: its offer is repeated, and a late answer is used.
function waitForAnswer(state: ViewState): Step {
  if (state.name === "reconnecting" && state.has_played) {
    return stay({ ...state, problem: NO_ANSWER });
  }
  return state.name === "connecting" || state.name === "reconnecting"
    ? stay({ name: "failed", problem: NO_ANSWER })
    : stay(state);
}

function replace(state: ViewState): Step {
  const before = lossesOf(state);
  return before === null ? connect(CONNECTING) : reconnect({ ...before, losses: 1 }, null);
}

function startAfresh(state: ViewState): Step {
  return connect(state.name === "reconnecting" ? state : CONNECTING, SETTLE_MS);
}

function isConnected({ name }: ViewState): boolean {
  return name === "waiting" || name === "blocked" || name === "playing";
}

function followStatus(state: ViewState, status: Status): Step {
  switch (status.state) {
    case "closed":
      return { state: { name: "closed" }, effect: { type: "disconnect" } };
    case "failed":
      return giveUp(status);
    default: // The caption shows the others; they do not change the state.
      return stay(state);
  }
}

function stay(state: ViewState): Step {
  return { state, effect: { type: "none" } };
}

function probe(state: ViewState): Step {
  return { state, effect: { type: "probe" } };
}

function giveUp({ problem, expected, fix }: Problem): Step {
  return {
    state: { name: "failed", problem: { problem, expected, fix } },
    effect: { type: "disconnect" },
  };
}

function reconnect(losses: Losses, problem: Problem | null): Step {
  const state: ViewState = { name: "reconnecting", problem, ...losses };
  return connect(state, backoff_ms(losses.losses));
}

function connect(state: ViewState, delay_ms = 0): Step {
  return { state, effect: { type: "connect", delay_ms } };
}
