// Generated from src/gpuview/protocol/messages.py by scripts/generate_messages.py. Do not edit.

/** A view asks to be shown the stream. Repeated, unchanged, until it is answered. */
export interface Offer {
  readonly type: "Offer";
  /** The view's id: 1 to 64 of `A-Za-z0-9_-`, made anew by the page for each view. */
  readonly view: string;
  /** Counts the view's offers from 1. A higher one replaces the view's connection. */
  readonly seq: number;
  /** The offer, at most `MAX_SDP_CHARS` characters. */
  readonly sdp: string;
}

/** A view asks for the ICE servers that it shall use; answered by `PeerConfig`. */
export interface GetPeerConfig {
  readonly type: "GetPeerConfig";
  readonly view: string;
}

/** A view has its answer, or its refusal; the kernel takes it out of `answers`. */
export interface Ack {
  readonly type: "Ack";
  readonly view: string;
  readonly seq: number;
}

/** A view has gone, or is being sent away; its connection is closed at once. */
export interface Bye {
  readonly type: "Bye";
  readonly view: string;
}

/** A line for the kernel's log; sent only where `PeerConfig` asked for it. */
export interface PageLog {
  readonly type: "PageLog";
  readonly view: string;
  readonly text: string;
}

/** One entry of the W3C `iceServers` list; a part of other messages, never sent alone. */
export interface IceServer {
  readonly urls: string[];
  readonly username?: string;
  readonly credential?: string;
}

/** Something that went wrong and need not be the end; a part of `Candidates`. */
export interface Problem {
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
}

/**
 * All that one side of a connection has gathered up to now; sent again when that grows.
 *
 * From a page: only what the kernel can use, no `.local` name and no TCP. From the kernel: what
 * came too late for the answer. Problems, such as a TURN server that is silent, are told as soon
 * as they are known, and are no reason to give up before the time has come.
 */
export interface Candidates {
  readonly type: "Candidates";
  readonly view: string;
  /** Of the offer that they belong to. */
  readonly seq: number;
  /** As in `RTCIceCandidate.candidate`: `candidate:...`, at most `MAX_CANDIDATES`. */
  readonly candidates: string[];
  readonly problems: Problem[];
}

/** The answer to the offer of the same view and seq. */
export interface Answer {
  readonly type: "Answer";
  readonly view: string;
  readonly seq: number;
  readonly sdp: string;
}

/** The offer of the same view and seq is not answered, and why: shown on the page as it is. */
export interface Refusal {
  readonly type: "Refusal";
  readonly view: string;
  readonly seq: number;
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
}

/** How one view is to connect. A custom message, as traits end up in saved notebooks. */
export interface PeerConfig {
  readonly type: "PeerConfig";
  readonly view: string;
  readonly ice_servers: IceServer[];
  readonly ice_transport_policy: "all" | "relay";
  /** Whether the page shall send what happens to it, as `PageLog`. */
  readonly wants_log: boolean;
}

/**
 * What the stream is doing; the `status` trait.
 *
 * waiting: no frame has been made yet. live: frames come. error: the source failed; the stream
 * goes on when it recovers. restarting: the media process is being started again. failed: it could
 * not be. closed: `stream.close()` was called. `problem`, `expected` and `fix` are set for
 * error and failed; `fix` also for waiting, where the user's code has to do something.
 */
export interface Status {
  readonly type: "Status";
  readonly state: "waiting" | "live" | "error" | "restarting" | "failed" | "closed";
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
}

/** What a page sends. */
export type PageMessage = Offer | GetPeerConfig | Ack | Bye | PageLog | Candidates;

/** What a page receives. */
export type KernelMessage = Answer | Refusal | PeerConfig | Status | Candidates;
