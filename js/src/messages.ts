// Generated from page_, carrier_ and interaction_messages.py in src/gpuview/protocol
// by scripts/generate_messages.py. Do not edit.

/** A view asks to be shown the stream. Repeated, unchanged, until it is answered. */
export interface Offer {
  readonly type: "Offer";
  readonly view: string;
  /** Counts the view's offers from 1. A higher one replaces the view's connection. */
  readonly seq: number;
  /** The offer, at most `MAX_SDP_CHARS` characters. */
  readonly sdp: string;
}

/** A view asks for its ICE servers; answered by `PeerConfig`. */
export interface GetPeerConfig {
  readonly type: "GetPeerConfig";
  readonly view: string;
}

/** A view has its answer or refusal; the kernel takes it out of `answers`. */
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

/** This page replaces an output of the stream without drawing its view anew. */
export interface KeepsViews {
  readonly type: "KeepsViews";
}

/** Begin a recording, or end it; the `recording` trait says what has come of it. */
export interface Record {
  readonly type: "Record";
  readonly is_on: boolean;
}

/** A view has so much room for its picture, at first and after each change. */
export interface Room {
  readonly type: "Room";
  /** In CSS pixels. */
  readonly width: number;
}

/** A line for the kernel's log; sent only where `PeerConfig` asked for it. */
export interface PageLog {
  readonly type: "PageLog";
  readonly view: string;
  readonly text: string;
}

/** One entry of the W3C `iceServers` list; part of other messages, never sent alone. */
export interface IceServer {
  readonly urls: string[];
  readonly username?: string;
  readonly credential?: string;
}

/** The colours of a map, and the values at its ends; part of `LegendEntry`. */
export interface ColourBar {
  /** Of the panel, without markup; empty if there are no panels. */
  readonly name: string;
  /** `#rrggbb`, at equal distances from the low end to the high one. */
  readonly colours: string[];
  readonly low: string;
  readonly high: string;
  /** The value between both, if it is to be shown. */
  readonly middle: string;
  /** What else there is to know about the range; empty if nothing. */
  readonly note: string;
}

/** What a part of the picture's colours means; part of `Status`. */
export interface LegendEntry {
  /** Without markup. */
  readonly text: string;
  /** The colour that the text is about, as `#rrggbb`; empty if there is none. */
  readonly colour: string;
  /** What says the same as the text to the eye. */
  readonly bar?: ColourBar;
}

/** What one view is sent, and what its link takes; as in `ViewerStats`. */
export interface LinkFigures {
  /** What the link takes, everything included. */
  readonly estimate_bps: number;
  /** The part of the packets that was lost lately, 0 to 1; None where the carrier loses none. */
  readonly loss?: number;
  /** `full`, `half` or `quarter` size; empty if it differs among the tiles of a grid. */
  readonly tier: string;
  /** Of the last picture, coarser upwards; None if the encoder does not say. */
  readonly quantiser?: number;
}

/** Something went wrong, which the connection may survive; a part of `Candidates`. */
export interface Problem {
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
}

/** One rank of a grid; part of `Tiles`. */
export interface Tile {
  readonly rank: number;
  /** Where it runs; empty if it has not joined. */
  readonly host: string;
  /** Of its picture in pixels; 0 while that is not known. */
  readonly width: number;
  readonly height: number;
  /** What is wrong, or is waited for; empty if nothing. */
  readonly text: string;
  /** When it said something last, if it should have, in milliseconds of Unix time. */
  readonly silent_since?: number;
}

/**
 * All candidates that one side of a connection has gathered so far; sent again with more.
 *
 * A page sends only candidates that the kernel can use: no `.local` names and no TCP. The kernel
 * sends candidates that came too late for the answer. Problems, such as a silent TURN server, are
 * sent as soon as they are known; the connection attempt goes on.
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

/** Why the offer of the same view and seq is not answered; the page shows it as it is. */
export interface Refusal {
  readonly type: "Refusal";
  /** Empty if nothing has named a view yet. */
  readonly view: string;
  /** 0 if it is about something else than an offer. */
  readonly seq: number;
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
}

/** How one view connects. A custom message, because traits end up in saved notebooks. */
export interface PeerConfig {
  readonly type: "PeerConfig";
  readonly view: string;
  readonly ice_servers: IceServer[];
  readonly ice_transport_policy: "all" | "relay";
  /** Whether the page sends its log, as `PageLog`. */
  readonly wants_log: boolean;
  /** Why servers are missing; the page connects with the others. */
  readonly problems: Problem[];
}

/**
 * What the stream is doing; the `status` trait.
 *
 * waiting: there is no frame yet. live: there are frames. error: a part failed; the stream goes on
 * when it recovers, and meanwhile if it was a recording. restarting: the media process is being
 * started again. failed: it cannot be started, just now or for good. closed: `stream.close()`
 * was called. `problem`, `expected` and `fix` are set for error and failed; `fix` also for
 * waiting, if the user's code has to do something; `hint` for live and waiting, if the picture
 * may not be what was meant, or does not come.
 */
export interface Status {
  readonly type: "Status";
  readonly state: "waiting" | "live" | "error" | "restarting" | "failed" | "closed";
  /** For error: the part that failed. */
  readonly part: "" | "source" | "encoder" | "recording" | "publishing" | "handler";
  /**
   * For waiting: what for, if not for the first frame. For live: who has gone and may come back,
   * whose next frame is waited for.
   */
  readonly waits_for: string;
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
  readonly hint: string;
  /** Of the picture in pixels, as far as it is known before a page has one; 0: it is not. */
  readonly width: number;
  readonly height: number;
  /** Whether the user has chosen the size, so that even a small picture is not enlarged. */
  readonly is_size_chosen: boolean;
  /** Whether the source has no more frames. */
  readonly has_ended: boolean;
  /**
   * When the newest frame was pushed, as of the last change of the viewers, on the clock of
   * `Pong`; 0: there was none.
   */
  readonly made_ms: number;
  /** A line of the user's, without markup. */
  readonly caption: string;
  /** For live: what the colours mean. */
  readonly legend: LegendEntry[];
}

/** A page is alive. Sent every second, and answered by `Pong`. */
export interface Ping {
  readonly type: "Ping";
  /** On the page's clock; comes back with the answer. */
  readonly sent_ms: number;
  /** From the capture of a frame until it was on the screen; None while that is unknown. */
  readonly latency_p50_ms?: number;
  readonly latency_p95_ms?: number;
  /** Whether no picture is wanted now: nobody can see it, or a person has paused it. */
  readonly is_paused: boolean;
  /**
   * Whether its packets come through a TURN server to which it talks by TCP or TLS. There a late
   * packet holds up those behind it.
   */
  readonly is_relayed_by_tcp: boolean;
}

/** The media process is alive. */
export interface Pong {
  readonly type: "Pong";
  /** Of the ping that this answers. */
  readonly sent_ms: number;
  /** When it was sent, on the clock of the RTP timestamps, which count 90 a millisecond. */
  readonly clock_ms: number;
  /** The stream's picture in pixels, also for a view that is sent a smaller one; 0: none yet. */
  readonly width: number;
  readonly height: number;
  /** None before the view was sent anything. */
  readonly link?: LinkFigures;
}

/** Send this view the stream's packets, beginning with a keyframe. Once on each connection. */
export interface Watch {
  readonly type: "Watch";
  readonly view: string;
  /** What the page decodes. */
  readonly codec: "H264" | "VP8" | "JPEG";
  /** The least time between two `Received`, where each of them is expensive. */
  readonly acknowledge_ms: number;
}

/** Packets have arrived, or one was shown. Packets that wait for this are bounded. */
export interface Received {
  readonly type: "Received";
  /** Of the newest packet that has arrived, as in its header. */
  readonly seq: number;
  /**
   * When packets arrived that were not acknowledged before, on the page's clock; the last of them
   * is the one with this number.
   */
  readonly arrived_ms: number[];
  /** Of the newest packet whose frame was on the screen; -1: none yet. */
  readonly shown: number;
}

/** The page cannot decode what follows, and begins again at a keyframe. */
export interface RequestKeyframe {
  readonly type: "RequestKeyframe";
  /** The rank in a grid; 0 in other streams. */
  readonly tile: number;
}

/** A page that shows a grid of ranks knows how large their tiles are; none is sent before. */
export interface WantTier {
  readonly type: "WantTier";
  /** What the sides of these ranks' pictures are divided by. */
  readonly tier: 1 | 2 | 4;
  readonly ranks: number[];
}

/** The ranks of a grid, in order; told to each page of it, and again when they change. */
export interface Tiles {
  readonly type: "Tiles";
  readonly tiles: Tile[];
}

/** Open a tunnel to the media process for this view, in place of the one that it may have. */
export interface CarrierOpen {
  readonly type: "CarrierOpen";
  readonly view: string;
}

/** A text message through the view's tunnel. */
export interface CarrierText {
  readonly type: "CarrierText";
  readonly view: string;
  /** JSON, as over any carrier. */
  readonly text: string;
}

/** Close the view's tunnel. */
export interface CarrierClose {
  readonly type: "CarrierClose";
  readonly view: string;
}

/** A message through the view's tunnel: `text`, or if that is empty the one binary buffer. */
export interface CarrierData {
  readonly type: "CarrierData";
  readonly view: string;
  readonly text: string;
}

/** The view's tunnel has ended, or could not be opened. */
export interface CarrierClosed {
  readonly type: "CarrierClosed";
  readonly view: string;
}

/** One finger on the picture; part of `RenderEvent`. */
export interface Touch {
  readonly id: number;
  readonly x: number;
  readonly y: number;
  readonly pressure: number;
}

/** One event of the renderview specification, as far as it applies; part of `Events`. */
export interface RenderEvent {
  readonly type: EventType;
  /** Seconds, on the page's clock. */
  readonly timestamp: number;
  /** In CSS pixels from the left edge of the picture. */
  readonly x: number;
  readonly y: number;
  /** Where in the stream's picture that is, 0 at its left edge and 1 at its right edge. */
  readonly u?: number;
  /** The same from top to bottom. */
  readonly v?: number;
  /** 0: none, 1: left, 2: right, 3: middle, and so on. */
  readonly button: number;
  readonly buttons: number[];
  readonly modifiers: ("Shift" | "Control" | "Alt" | "Meta")[];
  readonly touches: Touch[];
  /** CSS pixels that the wheel would have scrolled. */
  readonly dx: number;
  readonly dy: number;
  readonly key: string;
  /** The text of a `char`. */
  readonly data: string;
  /** Of the room for the picture on the page, in CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Device pixels for one of CSS. */
  readonly ratio: number;
}

/** One knob below the picture; part of `Interaction`. */
export interface Knob {
  readonly kind: "slider" | "toggle" | "choice" | "button";
  /** Without markup. */
  readonly name: string;
  readonly value: boolean | number | string | number[];
  /** Of a slider, as are those that follow. */
  readonly low: number;
  readonly high: number;
  /** 0: as fine as the page can. */
  readonly step: number;
  readonly is_log: boolean;
  /** Of a choice. */
  readonly options: string[];
}

/** A part of the picture; part of other messages. */
export interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What has happened to the picture, in order. */
export interface Events {
  readonly type: "Events";
  readonly view: string;
  readonly events: RenderEvent[];
}

/** A person has moved a knob. */
export interface SetKnob {
  readonly type: "SetKnob";
  readonly view: string;
  readonly name: string;
  readonly value: boolean | number | string | number[];
}

/** What is at a place of the picture? Answered by `Element`. */
export interface GetElement {
  readonly type: "GetElement";
  readonly view: string;
  /**
   * Comes back with the answer. The newest question of a view is answered, and older ones may be
   * left out.
   */
  readonly seq: number;
  readonly x: number;
  readonly y: number;
}

/**
 * What is in a box, of the tile that it begins in or of one near its middle? Answered by
 * `Statistics`.
 */
export interface GetStatistics {
  readonly type: "GetStatistics";
  readonly view: string;
  readonly seq: number;
  readonly x: number;
  readonly y: number;
  readonly to_x: number;
  readonly to_y: number;
}

/** A part of the picture at the tensor's resolution; answered by `Region`. */
export interface GetRegion {
  readonly type: "GetRegion";
  readonly view: string;
  readonly seq: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** The size that is wanted; the answer may be smaller. */
  readonly pixel_width: number;
  readonly pixel_height: number;
}

/** Answer this view with the values of the present frame from now on, or of the newest again. */
export interface Freeze {
  readonly type: "Freeze";
  readonly view: string;
  readonly is_on: boolean;
}

/**
 * A picture that was shown before, answered by `Replay`. The media process answers it itself.
 *
 * Without a time, no picture is wanted: what is kept now is to stay for this view, until it is
 * sent the stream again.
 */
export interface GetReplay {
  readonly type: "GetReplay";
  readonly view: string;
  readonly seq: number;
  readonly time_ms?: number;
  /** So many pictures after the one of that time, or before it. */
  readonly step: number;
}

/** What a view may say; the `interaction` trait. */
export interface Interaction {
  readonly type: "Interaction";
  /** Those that somebody waits for; no others are sent. */
  readonly events: EventType[];
  readonly knobs: Knob[];
}

/** What is at a place. Numbers are text, as JSON has no int64, NaN or Inf; without markup. */
export interface Element {
  readonly type: "Element";
  readonly view: string;
  readonly seq: number;
  /** Whether it is of the frame that the view has frozen. */
  readonly is_frozen: boolean;
  /** Why nothing is known, if that is so. */
  readonly problem: string;
  readonly panel: string;
  /** In the tensor, as in `[3, :, 12, 40]`; empty if there is no element. */
  readonly index: string;
  readonly row: number;
  readonly column: number;
  /** Of all channels. */
  readonly values: string[];
  readonly dtype: string;
  readonly low: string;
  /** What is shown as the ends of the colours. */
  readonly high: string;
  /** Where the element is shown. */
  readonly place: Place;
}

/** What the values in a box have in common. As in `Element`, numbers may be text. */
export interface Statistics {
  readonly type: "Statistics";
  readonly view: string;
  readonly seq: number;
  readonly is_frozen: boolean;
  readonly problem: string;
  readonly panel: string;
  /** As in `[3, :, 10:20, 4:9]`; empty if the box begins in no tile. */
  readonly index: string;
  readonly dtype: string;
  readonly n: number;
  readonly n_nan: number;
  readonly n_inf: number;
  readonly least: string;
  readonly greatest: string;
  readonly mean: string;
  readonly std: string;
  /** Of a histogram of the finite values, from the least to the greatest. */
  readonly counts: number[];
  readonly place: Place;
}

/** A piece of a PNG; the pieces come in order. */
export interface Region {
  readonly type: "Region";
  readonly view: string;
  readonly seq: number;
  readonly is_frozen: boolean;
  readonly problem: string;
  /** Of the whole PNG; 0 if there is none. */
  readonly nbytes: number;
  /** Of this piece in it. */
  readonly offset: number;
  /** Base64. */
  readonly data: string;
}

/** A piece of a JPEG; the pieces come in order. */
export interface Replay {
  readonly type: "Replay";
  readonly view: string;
  readonly seq: number;
  readonly problem: string;
  /** When this picture was first shown. */
  readonly time_ms: number;
  /** The same of the oldest picture that is kept; 0 if there is none. */
  readonly oldest_ms: number;
  readonly newest_ms: number;
  /** Of the whole JPEG; 0 if there is none. */
  readonly nbytes: number;
  /** Of this piece in it. */
  readonly offset: number;
  /** Base64. */
  readonly data: string;
}

/** What a page sends to the kernel. */
export type PageMessage =
  | Offer
  | GetPeerConfig
  | Ack
  | Bye
  | KeepsViews
  | Record
  | Room
  | PageLog
  | Candidates
  | CarrierOpen
  | CarrierText
  | CarrierClose
  | Events
  | SetKnob
  | GetElement
  | GetStatistics
  | GetRegion
  | Freeze
  | GetReplay;

/** What the kernel sends to a page. */
export type KernelMessage =
  | Answer
  | Refusal
  | PeerConfig
  | Status
  | Candidates
  | CarrierData
  | CarrierClosed
  | Interaction
  | Element
  | Statistics
  | Region
  | Replay;

/** What a view says. */
export type FromView =
  Events | SetKnob | GetElement | GetStatistics | GetRegion | Freeze | GetReplay;

/** What one view is told. */
export type ToView = Element | Statistics | Region | Replay;

/** The events of a view. */
export type EventType =
  | "pointer_down"
  | "pointer_up"
  | "pointer_move"
  | "pointer_enter"
  | "pointer_leave"
  | "double_click"
  | "wheel"
  | "key_down"
  | "key_up"
  | "char"
  | "resize"
  | "focus"
  | "blur"
  | "close";

export const INTERACTION_CHANNEL = "gpuview-interaction";
