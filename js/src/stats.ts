// What the browser's WebRTC statistics say about the picture. Pure.

import type { Percentiles } from "./latency";
import type { Motion } from "./motion";
import { at, candidatePairs, find, type CandidatePair, type StatsReport } from "./stats_report";

/** Counters since the connection began. */
export interface Snapshot {
  readonly at_ms: number;
  readonly decoded: number;
  readonly dropped: number;
  readonly freezes: number;
  readonly nbytes: number;
  readonly codec: string;
  /** The browser's name for its decoder; empty if it does not say. */
  readonly decoder: string;
  readonly rtt_ms: number | null;
  /** The route of the picture; null for another carrier. */
  readonly pair: CandidatePair | null;
}

/** What is worth showing about the time between two snapshots. */
export interface Figures {
  /** New pictures per second, where the browser says which frames repeat one; or frames. */
  readonly fps: number;
  /** How long ago the last new picture was made; null if the source does not rest. */
  readonly rest_ms: number | null;
  readonly dropped: number;
  readonly freezes: number;
  readonly bytes_per_s: number;
  readonly codec: string;
  readonly decoder: string;
  /** How WebRTC's packets get here; empty for another carrier. */
  readonly transport: "direct" | "relay" | "";
  readonly rtt_ms: number | null;
  /** Of the last ten seconds. */
  readonly latency: Percentiles | null;
}

/** Reads one report; returns null while it has no video. */
export function snapshot(report: StatsReport): Snapshot | null {
  const video = find(report, (entry) => entry.type === "inbound-rtp" && entry.kind === "video");
  if (video === undefined) return null;
  const pair = candidatePairs(report).find(({ is_selected }) => is_selected) ?? null;
  return {
    at_ms: video.timestamp,
    decoded: video.framesDecoded ?? 0,
    dropped: video.framesDropped ?? 0,
    freezes: video.freezeCount ?? 0,
    nbytes: video.bytesReceived ?? 0,
    codec: (at(report, video.codecId)?.mimeType ?? "").replace("video/", ""),
    decoder: video.decoderImplementation ?? "",
    rtt_ms: pair?.rtt_ms ?? null,
    pair,
  };
}

/** Returns what happened between two snapshots of one connection. */
export function diff(
  before: Snapshot,
  now: Snapshot,
  latency: Percentiles | null,
  motion: Motion | null = null,
): Figures {
  const elapsed_s = (now.at_ms - before.at_ms) / 1000;
  const perSecond = (count: number) => (elapsed_s > 0 ? count / elapsed_s : 0);
  return {
    fps: motion?.fps ?? perSecond(now.decoded - before.decoded),
    rest_ms: motion?.rest_ms ?? null,
    dropped: now.dropped - before.dropped,
    freezes: now.freezes - before.freezes,
    bytes_per_s: perSecond(now.nbytes - before.nbytes),
    codec: now.codec,
    decoder: now.decoder,
    transport: transportOf(now.pair),
    rtt_ms: now.rtt_ms,
    latency,
  };
}

function transportOf(pair: CandidatePair | null): Figures["transport"] {
  if (pair === null) return "";
  return isRelayed(pair) ? "relay" : "direct";
}

function isRelayed(pair: CandidatePair): boolean {
  // With a proxy such as FRP before the kernel, a relayed candidate shows as peer-reflexive.
  const { type, relay_protocol } = pair.local;
  return type === "relay" || relay_protocol !== "" || pair.remote.type === "relay";
}
