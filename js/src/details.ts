// The rows of the details panel. Pure.

import { shortEndpoint } from "./addresses";
import type { Candidate } from "./candidate";
import type { Carrier, Fallback } from "./carriers/carrier_policy";
import type { Facts } from "./diagnose";
import { writeBitrate } from "./figures_history";
import type { Percentiles } from "./latency";
import type { LinkFigures, Problem } from "./messages";
import type { Figures } from "./stats";
import type { CandidatePair, PairedCandidate } from "./stats_report";

export interface Line {
  readonly text: string;
  /** Shown beside the text, less prominently. */
  readonly note: string;
}

/** Lines under one name. */
export interface Row {
  readonly term: string;
  readonly lines: readonly Line[];
}

/** The connection's states in the words of W3C. */
export interface ConnectionStates {
  readonly connection: string;
  readonly ice: string;
  readonly gathering: string;
}

/** The present connection by WebRTC, or the last one. */
export interface Connection {
  readonly states: ConnectionStates;
  readonly facts: Facts;
}

export interface Details {
  readonly view: string;
  /** Null if WebRTC has not been tried. */
  readonly connection: Connection | null;
  /** What brings the picture; null if there is none. */
  readonly carrier: Carrier | null;
  /** Why it is not WebRTC. */
  readonly webrtc_problem: Problem | null;
  /** Of the last second; null while nothing plays. */
  readonly figures: Figures | null;
  /** As the kernel's side knows it; null before it was said. */
  readonly link: LinkFigures | null;
  /** As in "640×360"; empty before the first frame. */
  readonly size: string;
}

const ROUTES: Readonly<Record<Fallback, string>> = {
  socket: "WebSocket of the Jupyter server",
  comm: "through the kernel's comm",
};

/** Returns the panel's rows, without the empty ones. */
export function detailRows(details: Details): readonly Row[] {
  const { view, connection, webrtc_problem, figures, link, size } = details;
  const rows = {
    route: routeLines(details),
    picture: figures === null ? [] : [pictureLine(figures, size)],
    link: figures === null || link === null ? [] : [linkLine(link)],
    WebRTC: webrtc_problem === null ? [] : [problemLine(webrtc_problem)],
    ...(connection !== null && connectionRows(connection)),
    state: [...(connection === null ? [] : [stateLine(connection)]), line(`view ${view}`, "")],
  };
  return Object.entries(rows)
    .map(([term, lines]) => ({ term, lines }))
    .filter(({ lines }) => lines.length > 0);
}

function routeLines({ connection, carrier, figures }: Details): readonly Line[] {
  if (carrier === "socket" || carrier === "comm") {
    return [line(ROUTES[carrier], roundTrip(figures?.rtt_ms ?? null))];
  }
  return (connection?.facts.pairs ?? []).filter((pair) => pair.is_selected).map(routeLine);
}

function connectionRows({ facts }: Connection): Readonly<Record<string, readonly Line[]>> {
  return {
    problems: facts.problems.map(problemLine),
    tried: facts.pairs.filter((pair) => !pair.is_selected).map(pairLine),
    "this browser": facts.local.map(candidateLine),
    "the kernel": facts.remote.map(candidateLine),
    servers: facts.servers.map(({ url, note }) => line(url, note)),
  };
}

function stateLine({ states, facts }: Connection): Line {
  return line(statesText(states), facts.policy === "relay" ? "relays only" : "");
}

function line(text: string, note: string): Line {
  return { text, note };
}

function routeLine(pair: CandidatePair): Line {
  const protocol = pair.remote.protocol.toUpperCase();
  return line(pairText(pair), join(", ", protocol, relayNote(pair), roundTrip(pair.rtt_ms)));
}

function roundTrip(rtt_ms: number | null): string {
  return rtt_ms === null ? "" : `round trip ${rtt_ms.toFixed(0)} ms`;
}

function pictureLine(figures: Figures, size: string): Line {
  const { codec, decoder, fps, bytes_per_s, dropped, freezes, latency } = figures;
  const rate = `${fps.toFixed(0)} fps, ${(bytes_per_s / 1000).toFixed(0)} kB/s`;
  const losses = `dropped frames: ${dropped}, freezes: ${freezes} in the last second`;
  return line(join(" · ", codec, decoder, size), `${rate}, ${latencyText(latency)}, ${losses}`);
}

function linkLine({ estimate_bps, loss, tier, quantiser }: LinkFigures): Line {
  const sent = [
    tier === "" ? "" : `${tier} size`,
    quantiser === undefined ? "" : `quantiser ${quantiser}`,
  ];
  const lost = loss === undefined ? "" : `${(loss * 100).toFixed(1)}% loss`;
  return line(`estimate ${writeBitrate(estimate_bps)}`, join(", ", lost, ...sent));
}

/** Returns how old the picture is when it reaches the screen, in words. */
export function latencyText(latency: Percentiles | null): string {
  if (latency === null) return "latency unknown";
  return `latency ${latency.p50_ms.toFixed(0)} ms (p95 ${latency.p95_ms.toFixed(0)} ms)`;
}

function problemLine({ problem, expected, fix }: Problem): Line {
  return line(problem, `expected: ${expected}; try: ${fix}`);
}

function pairLine(pair: CandidatePair): Line {
  return line(pairText(pair), join("; ", whyUnused(pair), relayNote(pair)));
}

function whyUnused({ state, requests, responses }: CandidatePair): string {
  const checks = requests === null ? "" : `requests ${requests}, replies ${responses ?? 0}`;
  switch (state) {
    case "succeeded":
      return "works, but another pair is in use";
    case "frozen":
    case "waiting":
      return "not tried yet";
    case "in-progress":
      return join(": ", "being tried", checks);
    default:
      return join(": ", state, checks);
  }
}

function candidateLine({ type, address, port, protocol }: Candidate): Line {
  return line(`${type} ${shortEndpoint(address, port)}`, protocol.toUpperCase());
}

function statesText({ connection, ice, gathering }: ConnectionStates): string {
  return `connection ${connection} · ICE ${ice} · gathering ${gathering}`;
}

function pairText({ local, remote }: CandidatePair): string {
  const text = ({ type, address, port }: PairedCandidate) =>
    `${type} ${shortEndpoint(address, port)}`;
  return `${text(local)} → ${text(remote)}`;
}

function relayNote({ local }: CandidatePair): string {
  if (local.relay_protocol === "") return "";
  const server = local.url === "" ? "" : ` of ${local.url}`;
  return `relay${server} over ${local.relay_protocol.toUpperCase()}`;
}

function join(separator: string, ...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(separator);
}
