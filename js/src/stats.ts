// What the browser's WebRTC statistics say about the picture. Pure.

import { at, entriesOf, find, selectedPair, type Pair } from "./report";

/** Counters since the connection began, read from one `getStats` report. */
export interface Snapshot {
  readonly at_ms: number;
  readonly decoded: number;
  readonly dropped: number;
  readonly freezes: number;
  readonly nbytes: number;
  readonly codec: string;
  /** What decodes, in the browser's words; empty where it does not say. */
  readonly decoder: string;
  /** The way that the picture comes. */
  readonly pair: Pair | null;
}

/** What is worth showing about the time between two snapshots. */
export interface Figures {
  readonly fps: number;
  readonly dropped: number;
  readonly freezes: number;
  readonly bytes_per_s: number;
  readonly codec: string;
  readonly decoder: string;
  readonly transport: "direct" | "relay";
  readonly rtt_ms: number | null;
}

/** Reads one report, or returns null when it knows of no video yet. */
export function snapshot(report: Iterable<readonly [string, unknown]>): Snapshot | null {
  const entries = entriesOf(report);
  const video = find(entries, (entry) => entry.type === "inbound-rtp" && entry.kind === "video");
  if (video === undefined) return null;
  return {
    at_ms: video.timestamp,
    decoded: video.framesDecoded ?? 0,
    dropped: video.framesDropped ?? 0,
    freezes: video.freezeCount ?? 0,
    nbytes: video.bytesReceived ?? 0,
    codec: (at(entries, video.codecId)?.mimeType ?? "").replace("video/", ""),
    decoder: video.decoderImplementation ?? "",
    pair: selectedPair(entries),
  };
}

/** Returns what happened between two snapshots of one connection. */
export function diff(before: Snapshot, now: Snapshot): Figures {
  const elapsed_s = (now.at_ms - before.at_ms) / 1000;
  const perSecond = (count: number) => (elapsed_s > 0 ? count / elapsed_s : 0);
  return {
    fps: perSecond(now.decoded - before.decoded),
    dropped: now.dropped - before.dropped,
    freezes: now.freezes - before.freezes,
    bytes_per_s: perSecond(now.nbytes - before.nbytes),
    codec: now.codec,
    decoder: now.decoder,
    transport: isRelayed(now.pair) ? "relay" : "direct",
    rtt_ms: now.pair?.rtt_ms ?? null,
  };
}

function isRelayed(pair: Pair | null): boolean {
  if (pair === null) return false;
  // Where a proxy such as FRP is before the kernel, what a relay sends shows as peer-reflexive.
  const { type, relay_protocol } = pair.local;
  return type === "relay" || relay_protocol !== "" || pair.remote.type === "relay";
}
