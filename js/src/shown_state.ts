// What a view says of itself: WebRTC's state, unless another carrier does better. Pure.

import type { Favourite } from "./carriers/carrier_policy";
import type { Problem, Status } from "./messages";
import type { ViewState } from "./state";

/** How the carriers besides WebRTC stand together. */
export interface FallbackState {
  /** Whether the picture of one of them is seen. */
  readonly is_showing: boolean;
  /** Whether the media process answers over one of them. */
  readonly is_connected: boolean;
  /** Whether one of them may still bring the first picture. */
  readonly is_hopeful: boolean;
  readonly problem: Problem | null;
}

const NO_CARRIER: Problem = {
  problem: "none of the ways that GPUVIEW_CARRIERS allows leads to the kernel",
  expected: "webrtc, socket or comm; socket needs the extension of the Jupyter server",
  fix: "allow more of them, or install gpuview beside the Jupyter server",
};

/** @param is_allowed Whether WebRTC may be used. */
export function shownState(
  state: ViewState,
  status: Status,
  fallbacks: FallbackState,
  is_allowed: boolean,
): ViewState {
  if (isOver(state, status) || state.name === "playing" || state.name === "paused") return state;
  if (fallbacks.is_showing) return { name: "playing" };
  if (state.name === "waiting" || state.name === "blocked") return state;
  if (fallbacks.is_connected) {
    const losses = state.name === "reconnecting" ? state : { losses: 0, has_played: false };
    return { name: "waiting", losses: losses.losses, has_played: losses.has_played };
  }
  if (fallbacks.is_hopeful) return state.name === "failed" ? { name: "connecting" } : state;
  return is_allowed ? state : { name: "failed", problem: fallbacks.problem ?? NO_CARRIER };
}

/** Whether nothing can bring a picture, however it comes. */
export function isOver(state: ViewState, status: Status): boolean {
  if (state.name === "closed" || state.name === "gone") return true;
  return state.name === "failed" && status.state === "failed";
}

/**
 * Returns how WebRTC stands in the race of the carriers.
 *
 * @param is_frame_due Whether the stream has frames, and somebody looks.
 */
export function favouriteState(
  state: ViewState,
  is_allowed: boolean,
  is_frame_due: boolean,
): Favourite["state"] {
  switch (state.name) {
    case "playing":
      return "showing";
    case "closed":
    case "gone":
    case "paused":
    case "blocked": // It works, and a person can press play.
      return "idle";
    case "waiting":
      return is_frame_due ? "trying" : "idle";
    case "failed":
      return "failed";
    case "connecting":
    case "reconnecting":
      return is_allowed ? "trying" : "failed";
  }
}
