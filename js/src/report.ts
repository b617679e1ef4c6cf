// The browser's WebRTC statistics: one report's entries, and the pairs of candidates in it. Pure.

/** The fields that we read, of whichever kind of entry has them; each may be missing. */
export interface Entry {
  readonly id: string;
  readonly type: string;
  readonly timestamp: number;
  readonly kind?: string;
  readonly codecId?: string;
  readonly mimeType?: string;
  readonly decoderImplementation?: string;
  readonly bytesReceived?: number;
  readonly framesDecoded?: number;
  readonly framesDropped?: number;
  readonly freezeCount?: number;
  readonly selectedCandidatePairId?: string;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly candidateType?: string;
  readonly address?: string | null;
  readonly port?: number;
  readonly protocol?: string;
  readonly relayProtocol?: string;
  readonly url?: string;
  readonly currentRoundTripTime?: number;
  readonly requestsSent?: number;
  readonly responsesReceived?: number;
  readonly nominated?: boolean;
  readonly selected?: boolean;
  readonly state?: string;
}

export type Entries = ReadonlyMap<string, Entry>;

/** One end of a pair. */
export interface End {
  /** host, srflx, prflx or relay; "unknown" where the browser does not say. */
  readonly type: string;
  /** Empty where the browser hides it. */
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  /** How this page talks to its TURN server: udp, tcp or tls; empty where it does not. */
  readonly relay_protocol: string;
  /** The server that the candidate is from; empty where the browser does not say. */
  readonly url: string;
}

/** Two candidates that were tried together. */
export interface Pair {
  readonly local: End;
  readonly remote: End;
  /** frozen, waiting, in-progress, failed or succeeded; browsers have others. */
  readonly state: string;
  readonly is_selected: boolean;
  /** Null where the browser does not count them. */
  readonly requests: number | null;
  readonly responses: number | null;
  readonly rtt_ms: number | null;
}

export function entriesOf(report: Iterable<readonly [string, unknown]>): Entries {
  return new Map(report as Iterable<readonly [string, Entry]>);
}

/** Returns all pairs, the one in use first. */
export function pairsOf(entries: Entries): readonly Pair[] {
  const selected = selectedEntry(entries);
  const pairs = [...entries.values()].filter(({ type }) => type === "candidate-pair");
  const others = pairs.filter((entry) => entry !== selected);
  return [...(selected === undefined ? [] : [selected]), ...others].map((entry) =>
    pairOf(entries, entry, entry === selected),
  );
}

/** Returns the pair in use, or null before there is one. */
export function selectedPair(entries: Entries): Pair | null {
  const entry = selectedEntry(entries);
  return entry === undefined ? null : pairOf(entries, entry, true);
}

export function at(entries: Entries, id: string | undefined): Entry | undefined {
  return id === undefined ? undefined : entries.get(id);
}

export function find(entries: Entries, wanted: (entry: Entry) => boolean): Entry | undefined {
  return [...entries.values()].find(wanted);
}

function selectedEntry(entries: Entries): Entry | undefined {
  const transport = find(entries, (entry) => entry.selectedCandidatePairId !== undefined);
  // Firefox has no transport entry.
  return (
    at(entries, transport?.selectedCandidatePairId) ??
    find(entries, (entry) => entry.selected === true) ??
    find(entries, (entry) => entry.nominated === true && entry.state === "succeeded")
  );
}

function pairOf(entries: Entries, entry: Entry, is_selected: boolean): Pair {
  const { currentRoundTripTime: rtt_s } = entry;
  return {
    local: endOf(at(entries, entry.localCandidateId)),
    remote: endOf(at(entries, entry.remoteCandidateId)),
    state: entry.state ?? "unknown",
    is_selected,
    requests: entry.requestsSent ?? null,
    responses: entry.responsesReceived ?? null,
    rtt_ms: rtt_s === undefined ? null : rtt_s * 1000,
  };
}

function endOf(entry: Entry | undefined): End {
  return {
    type: entry?.candidateType ?? "unknown",
    address: entry?.address ?? "",
    port: entry?.port ?? 0,
    protocol: entry?.protocol ?? "",
    relay_protocol: entry?.relayProtocol ?? "",
    url: entry?.url ?? "",
  };
}
