// What the page says: a view's state and the stream's status, put into words. Pure.

import type { Status } from "./messages";
import type { ViewState } from "./state";
import { told, type Trouble, type Words } from "./words";

/** The colour of the dot. */
export type Tone = "busy" | "good" | "bad" | "idle";

export interface Caption {
  /** The state in a few words, beside the dot. */
  readonly label: string;
  readonly tone: Tone;
  /** A message over the picture; parts that are empty are not shown. */
  readonly words: Words | null;
  /** Whether the picture is of the past. */
  readonly is_dimmed: boolean;
  readonly can_retry: boolean;
}

const QUIET = { words: null, is_dimmed: false, can_retry: false };

/** `trouble` is what stands in the way of a connection, as far as is known. */
export function caption(state: ViewState, status: Status, trouble: Trouble | null): Caption {
  switch (state.name) {
    case "closed":
      return { ...QUIET, label: "stream closed", tone: "idle", is_dimmed: true };
    case "gone":
      return { ...QUIET, label: "kernel gone", tone: "idle", is_dimmed: true, words: KERNEL_GONE };
    case "failed":
      return { label: "failed", tone: "bad", words: state.words, is_dimmed: true, can_retry: true };
    default:
      return captionOfStatus(status) ?? captionOfConnection(state, status, trouble);
  }
}

const KERNEL_GONE: Words = {
  problem: "The kernel has gone. Run the cell again.",
  expected: "",
  fix: "",
};

function captionOfStatus(status: Status): Caption | null {
  switch (status.state) {
    case "error":
      return { ...QUIET, label: "source failed", tone: "bad", words: status };
    case "restarting":
      return { ...QUIET, label: "restarting", tone: "busy" };
    default:
      return null;
  }
}

function captionOfConnection(
  state: Extract<ViewState, { name: "connecting" | "waiting" | "playing" | "reconnecting" }>,
  status: Status,
  trouble: Trouble | null,
): Caption {
  switch (state.name) {
    case "waiting": // To a person, a connection that is made again is not back before its picture.
      return state.losses === 0
        ? { ...QUIET, label: awaited(status), tone: "busy" }
        : { ...QUIET, label: "reconnecting", tone: "busy" };
    case "playing":
      return { ...QUIET, label: "playing", tone: "good" };
    case "connecting":
      return { ...QUIET, label: state.name, tone: "busy", words: wordsOf(trouble) };
    case "reconnecting":
      return { ...QUIET, label: state.name, tone: "busy", words: wordsOf(trouble) ?? state.words };
  }
}

function awaited({ fix }: Status): string {
  return `waiting for the first frame${fix === "" ? "" : `: ${fix}`}`;
}

function wordsOf(trouble: Trouble | null): Words | null {
  return trouble === null ? null : told(trouble);
}
