// What the browser's WebRTC statistics say about the picture. Pure.

/** Counters since the connection began, read from one `getStats` report. */
export interface Snapshot {
  readonly at_ms: number;
  readonly decoded: number;
  readonly dropped: number;
  readonly freezes: number;
  readonly codec: string;
  readonly transport: "direct" | "relay";
  readonly rtt_ms: number | null;
}

/** What is worth showing about the time between two snapshots. */
export interface Figures {
  readonly fps: number;
  readonly dropped: number;
  readonly freezes: number;
  readonly codec: string;
  readonly transport: "direct" | "relay";
  readonly rtt_ms: number | null;
}

/** The fields that we read, of whichever kind of entry has them; each may be missing. */
interface Entry {
  readonly id: string;
  readonly type: string;
  readonly timestamp: number;
  readonly kind?: string;
  readonly codecId?: string;
  readonly mimeType?: string;
  readonly framesDecoded?: number;
  readonly framesDropped?: number;
  readonly freezeCount?: number;
  readonly selectedCandidatePairId?: string;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly candidateType?: string;
  readonly currentRoundTripTime?: number;
  readonly nominated?: boolean;
  readonly state?: string;
}

/** Reads one report, or returns null when it knows of no video yet. */
export function snapshot(report: Iterable<readonly [string, unknown]>): Snapshot | null {
  const entries = new Map(report as Iterable<readonly [string, Entry]>);
  const video = find(entries, (entry) => entry.type === "inbound-rtp" && entry.kind === "video");
  if (video === undefined) return null;
  const pair = selectedPair(entries);
  return {
    at_ms: video.timestamp,
    decoded: video.framesDecoded ?? 0,
    dropped: video.framesDropped ?? 0,
    freezes: video.freezeCount ?? 0,
    codec: (at(entries, video.codecId)?.mimeType ?? "").replace("video/", ""),
    transport: isRelayed(entries, pair) ? "relay" : "direct",
    rtt_ms: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
  };
}

/** Returns what happened between two snapshots of one connection. */
export function diff(before: Snapshot, now: Snapshot): Figures {
  const elapsed_s = (now.at_ms - before.at_ms) / 1000;
  return {
    fps: elapsed_s > 0 ? (now.decoded - before.decoded) / elapsed_s : 0,
    dropped: now.dropped - before.dropped,
    freezes: now.freezes - before.freezes,
    codec: now.codec,
    transport: now.transport,
    rtt_ms: now.rtt_ms,
  };
}

type Entries = ReadonlyMap<string, Entry>;

function selectedPair(entries: Entries): Entry | undefined {
  const transport = find(entries, (entry) => entry.selectedCandidatePairId !== undefined);
  // Firefox has no transport entry.
  return (
    at(entries, transport?.selectedCandidatePairId) ??
    find(entries, (entry) => entry.nominated === true && entry.state === "succeeded")
  );
}

function isRelayed(entries: Entries, pair: Entry | undefined): boolean {
  const ends = [at(entries, pair?.localCandidateId), at(entries, pair?.remoteCandidateId)];
  return ends.some((end) => end?.candidateType === "relay");
}

function at(entries: Entries, id: string | undefined): Entry | undefined {
  return id === undefined ? undefined : entries.get(id);
}

function find(entries: Entries, wanted: (entry: Entry) => boolean): Entry | undefined {
  return [...entries.values()].find(wanted);
}
