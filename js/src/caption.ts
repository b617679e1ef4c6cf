// Puts a view's state and the stream's status into words. Pure.

import type { Carrier } from "./carriers/carrier_policy";
import type { LegendEntry, Problem, Status } from "./messages";
import { spanText } from "./motion";
import type { ViewState } from "./state";

/** The colour of the dot. */
export type Tone = "busy" | "good" | "bad" | "idle";

export interface Caption {
  /** The state in a few words, beside the dot. */
  readonly label: string;
  /** Goes on from the label, and changes each second; empty if there is nothing to say. */
  readonly age: string;
  readonly tone: Tone;
  /** Shown over the picture, without its empty parts. */
  readonly message: Problem | null;
  /** Below the picture: what the user may want to change; empty if nothing. */
  readonly hint: string;
  /** Below the picture: what its colours mean; null if that of the picture before still holds. */
  readonly legend: readonly LegendEntry[] | null;
  /** Whether the picture belongs to the past. */
  readonly is_dimmed: boolean;
  readonly can_retry: boolean;
  /** Whether a person has to start the video. */
  readonly can_play: boolean;
}

const QUIET = {
  age: "",
  message: null,
  hint: "",
  legend: [],
  is_dimmed: false,
  can_retry: false,
  can_play: false,
};

/** What brings the picture, if that is not the usual way. */
const WAYS: Readonly<Record<Carrier, string>> = {
  webrtc: "",
  socket: " over WebSocket",
  comm: " through the kernel",
};

const LASTING: ReadonlySet<Status["part"]> = new Set(["recording", "publishing", "handler"]);

const KERNEL_GONE: Problem = {
  problem: "The kernel is gone. Run the cell again.",
  expected: "",
  fix: "",
};

/**
 * @param problem What stands in the way of the present connection, as far as is known.
 * @param carrier What brings the picture; null if there is none.
 * @param rest_ms How long ago the last new picture was made; null if the source does not rest.
 */
export function caption(
  state: ViewState,
  status: Status,
  problem: Problem | null,
  carrier: Carrier | null,
  rest_ms: number | null = null,
): Caption {
  switch (state.name) {
    case "closed":
      return { ...QUIET, label: "stream closed", tone: "idle", is_dimmed: true };
    case "gone":
      return {
        ...QUIET,
        label: "kernel gone",
        tone: "idle",
        message: KERNEL_GONE,
        is_dimmed: true,
      };
    case "paused":
      return { ...QUIET, label: "paused", tone: "idle", legend: null };
    case "failed":
      return {
        ...QUIET,
        label: "failed",
        tone: "bad",
        message: state.problem,
        is_dimmed: true,
        can_retry: true,
      };
    default:
      return (
        captionOfStatus(state, status) ??
        captionOfRest(state, status, rest_ms) ??
        captionOfConnection(state, status, problem, carrier)
      );
  }
}

function captionOfStatus(state: ViewState, status: Status): Caption | null {
  switch (status.state) {
    case "error":
      // These last, so they must not hide why there is no picture.
      if (LASTING.has(status.part) && state.name !== "playing") return null;
      return { ...QUIET, label: `${status.part} failed`, tone: "bad", message: status };
    case "restarting":
      return { ...QUIET, label: "restarting", tone: "busy" };
    default:
      return null;
  }
}

/** Of a picture that stands still because nothing new is made. */
function captionOfRest(
  state: ViewState,
  { has_ended, waits_for, hint, legend }: Status,
  rest_ms: number | null,
): Caption | null {
  if (state.name !== "playing") return null;
  if (waits_for !== "") {
    return { ...QUIET, label: `waiting for ${waits_for}`, tone: "busy", hint, legend };
  }
  if (has_ended) {
    return { ...QUIET, label: "the source has ended", tone: "idle", hint, legend };
  }
  if (rest_ms === null) return null;
  return {
    ...QUIET,
    label: "idle",
    age: `, last frame ${spanText(rest_ms)} ago`,
    tone: "idle",
    hint,
    legend,
  };
}

function captionOfConnection(
  state: Exclude<ViewState, { name: "closed" | "gone" | "failed" | "paused" }>,
  { waits_for, fix, hint, legend }: Status,
  problem: Problem | null,
  carrier: Carrier | null,
): Caption {
  switch (state.name) {
    case "waiting": {
      const what = waits_for === "" ? "the first frame" : waits_for;
      const waiting = `waiting for ${what}${fix === "" ? "" : `: ${fix}`}`;
      // To a person, a view has not reconnected before its picture is back.
      return { ...QUIET, label: state.losses === 0 ? waiting : "reconnecting", tone: "busy", hint };
    }
    case "blocked":
      return { ...QUIET, label: "press play", tone: "busy", can_play: true };
    case "playing":
      return { ...QUIET, label: `playing${WAYS[carrier ?? "webrtc"]}`, tone: "good", hint, legend };
    case "connecting":
      return { ...QUIET, label: "connecting", tone: "busy", message: problem };
    case "reconnecting":
      return { ...QUIET, label: "reconnecting", tone: "busy", message: problem ?? state.problem };
  }
}
