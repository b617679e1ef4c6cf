// What we read from the browser's RTCStatsReport: its entries, and the candidate pairs. Pure.

/** The fields that we read, on whichever kind of entry has them; any of them may be missing. */
export type StatsEntry = RTCStats &
  Partial<RTCInboundRtpStreamStats & RTCIceCandidatePairStats & RTCTransportStats> & {
    // TypeScript's library does not have these.
    readonly mimeType?: string;
    readonly candidateType?: string;
    readonly address?: string | null;
    readonly port?: number;
    readonly protocol?: string;
    readonly relayProtocol?: string;
    readonly url?: string;
    readonly selected?: boolean;
  };

export type StatsReport = ReadonlyMap<string, StatsEntry>;

/** One candidate of a pair. */
export interface PairedCandidate {
  /** host, srflx, prflx or relay; "unknown" if the browser does not say. */
  readonly type: string;
  /** Empty if the browser hides it. */
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  /** How this page talks to its TURN server: udp, tcp or tls; empty without one. */
  readonly relay_protocol: string;
  /** The server that gave the candidate; empty if the browser does not say. */
  readonly url: string;
}

/** A local and a remote candidate that the browser tried together. */
export interface CandidatePair {
  readonly local: PairedCandidate;
  readonly remote: PairedCandidate;
  /** frozen, waiting, in-progress, failed or succeeded; some browsers have more. */
  readonly state: string;
  readonly is_selected: boolean;
  /** Null if the browser does not count them. */
  readonly requests: number | null;
  readonly responses: number | null;
  readonly rtt_ms: number | null;
}

/** Returns all pairs, the selected one first. */
export function candidatePairs(report: StatsReport): readonly CandidatePair[] {
  const selected = selectedEntry(report);
  const pairs = [...report.values()].filter(
    (entry) => entry.type === "candidate-pair" && entry !== selected,
  );
  return [...(selected === undefined ? [] : [selected]), ...pairs].map((entry) =>
    pairOf(report, entry, entry === selected),
  );
}

/** Whether it leads through a TURN server that this page talks to by TCP. */
export function isByTcpRelay({ local }: CandidatePair): boolean {
  return local.relay_protocol === "tcp" || local.relay_protocol === "tls";
}

export function at(report: StatsReport, id: string | undefined): StatsEntry | undefined {
  return id === undefined ? undefined : report.get(id);
}

export function find(
  report: StatsReport,
  wanted: (entry: StatsEntry) => boolean,
): StatsEntry | undefined {
  return [...report.values()].find(wanted);
}

function selectedEntry(report: StatsReport): StatsEntry | undefined {
  const transport = find(report, (entry) => entry.selectedCandidatePairId !== undefined);
  // Firefox has no transport entry.
  return (
    at(report, transport?.selectedCandidatePairId) ??
    find(report, (entry) => entry.selected === true) ??
    find(report, (entry) => entry.nominated === true && entry.state === "succeeded")
  );
}

function pairOf(report: StatsReport, entry: StatsEntry, is_selected: boolean): CandidatePair {
  const { currentRoundTripTime: rtt_s } = entry;
  return {
    local: candidateOf(at(report, entry.localCandidateId)),
    remote: candidateOf(at(report, entry.remoteCandidateId)),
    state: entry.state ?? "unknown",
    is_selected,
    requests: entry.requestsSent ?? null,
    responses: entry.responsesReceived ?? null,
    rtt_ms: rtt_s === undefined ? null : rtt_s * 1000,
  };
}

function candidateOf(entry: StatsEntry | undefined): PairedCandidate {
  return {
    type: entry?.candidateType ?? "unknown",
    address: entry?.address ?? "",
    port: entry?.port ?? 0,
    protocol: entry?.protocol ?? "",
    relay_protocol: entry?.relayProtocol ?? "",
    url: entry?.url ?? "",
  };
}
