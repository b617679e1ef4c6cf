// The widget's model as anywidget provides it, and the one way to listen to it.

import type { Carrier } from "./carriers/carrier_policy";
import type { Answer, Interaction, Offer, PageMessage, Refusal, Status } from "./messages";

/** The state that kernel and page share. */
export interface Traits {
  /** A mailbox, by view. Pages write to it, and the kernel never echoes it. */
  offers: Readonly<Record<string, Offer>>;
  /** By view. The kernel removes an entry once it is acknowledged. */
  answers: Readonly<Record<string, Answer | Refusal>>;
  status: Status;
  /** What views may say about the picture. */
  interaction: Interaction;
  /** What has come of a view's `Record`; null where none can be made. */
  recording: Recording | null;
  /** Counts the media processes. When it changes, every earlier connection is dead. */
  epoch: number;
  /** Whether a view must ask for ICE servers before its first offer. */
  needs_peer_config: boolean;
  /** Kernel and stream, as the Jupyter server's extension finds them; empty where it cannot. */
  place: string;
  /** Whether the server that started the kernel has the extension. */
  has_server_extension: boolean;
  /** How the video may come. */
  carriers: readonly Carrier[];
}

export interface Recording {
  readonly state: "off" | "on" | "saved" | "failed";
  /** The file's name; for `failed`, why. */
  readonly text: string;
}

/** The events that we use. ipywidgets fires `comm_live_update` when the kernel is gone. */
export type ModelEvent = `change:${keyof Traits}` | "msg:custom" | "comm_live_update";

/** `buffers` belong to a custom message. */
export type ModelCallback = (content: unknown, buffers: readonly BufferSource[]) => void;

/** Whether JupyterLab has our extension, which replaces an output and leaves its view. */
export function keepsViews(): boolean {
  const page = window as { _JUPYTERLAB?: { gpuview?: { keeps_views?: boolean } } };
  return page._JUPYTERLAB?.gpuview?.keeps_views === true;
}

export interface Model {
  get<Name extends keyof Traits>(name: Name): Traits[Name];
  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void;
  save_changes(): void;
  send(message: PageMessage): void;
  on(event: ModelEvent, callback: ModelCallback): void;
  off(event: ModelEvent, callback: ModelCallback): void;
}

/** Calls `callback` on every `event` until `stop` is aborted. */
export function listen(
  model: Model,
  event: ModelEvent,
  callback: ModelCallback,
  stop: AbortSignal,
): void {
  model.on(event, callback);
  stop.addEventListener("abort", () => model.off(event, callback), { once: true });
}
