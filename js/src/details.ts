// What the details panel says, row by row. Pure.

import { shortEndpoint } from "./addresses";
import type { Candidate } from "./candidate";
import type { Facts } from "./diagnose";
import type { End, Pair } from "./report";
import type { Figures } from "./stats";
import { told, type Trouble } from "./words";

/** One thing in the panel, and what there is to say of it. */
export interface Line {
  readonly text: string;
  readonly note: string;
}

/** Lines under one name. */
export interface Row {
  readonly term: string;
  readonly lines: readonly Line[];
}

/** What a connection's states are called. */
export interface States {
  readonly connection: string;
  readonly ice: string;
  readonly gathering: string;
}

export interface Details {
  readonly view: string;
  readonly states: States;
  readonly facts: Facts;
  /** Of the last second; null while nothing plays. */
  readonly figures: Figures | null;
  /** As in "640×360"; empty before the first frame. */
  readonly size: string;
}

/** Returns the panel's rows, without those that have nothing to say. */
export function rowsOf({ view, states, facts, figures, size }: Details): readonly Row[] {
  const rows = [
    row("route", facts.pairs.filter(isInUse).map(routeLine)),
    row("picture", figures === null ? [] : [pictureLine(figures, size)]),
    row("problems", facts.troubles.map(troubleLine)),
    row("tried", facts.pairs.filter((pair) => !isInUse(pair)).map(pairLine)),
    row("this browser", facts.own.map(candidateLine)),
    row("the kernel", facts.kernels.map(candidateLine)),
    row(
      "servers",
      facts.servers.map(({ url, note }) => line(url, note)),
    ),
    row("state", [line(statesText(states), policyNote(facts)), line(`view ${view}`, "")]),
  ];
  return rows.filter(({ lines }) => lines.length > 0);
}

function row(term: string, lines: readonly Line[]): Row {
  return { term, lines };
}

function line(text: string, note: string): Line {
  return { text, note };
}

function isInUse({ is_selected }: Pair): boolean {
  return is_selected;
}

function routeLine(pair: Pair): Line {
  const rtt = pair.rtt_ms === null ? "" : `round trip ${pair.rtt_ms.toFixed(0)} ms`;
  return line(ends(pair), join(", ", pair.remote.protocol.toUpperCase(), relayNote(pair), rtt));
}

function pictureLine(figures: Figures, size: string): Line {
  const { codec, decoder, fps, bytes_per_s, dropped, freezes } = figures;
  const rate = `${fps.toFixed(0)} fps, ${(bytes_per_s / 1000).toFixed(0)} kB/s`;
  const losses = `${dropped} frames dropped and ${freezes} freezes in the last second`;
  return line(join(" · ", codec, decoder, size), `${rate}, ${losses}`);
}

function troubleLine(trouble: Trouble): Line {
  const { problem, expected, fix } = told(trouble);
  return line(problem, `expected: ${expected}; try: ${fix}`);
}

function pairLine(pair: Pair): Line {
  return line(ends(pair), join("; ", whyNot(pair), relayNote(pair)));
}

/** Returns why the picture does not come over this pair. */
function whyNot({ state, requests, responses }: Pair): string {
  switch (state) {
    case "succeeded":
      return "works, another one is in use";
    case "frozen":
    case "waiting":
      return "not tried yet";
    case "in-progress":
      return join(": ", "being tried", checks(requests, responses));
    default:
      return join(": ", state, checks(requests, responses));
  }
}

function checks(requests: number | null, responses: number | null): string {
  return requests === null ? "" : `requests ${requests}, replies ${responses ?? 0}`;
}

function candidateLine({ type, address, port, protocol }: Candidate): Line {
  return line(`${type} ${shortEndpoint(address, port)}`, protocol.toUpperCase());
}

function policyNote({ policy }: Facts): string {
  return policy === "relay" ? "relays only" : "";
}

function statesText({ connection, ice, gathering }: States): string {
  return `connection ${connection} · ICE ${ice} · gathering ${gathering}`;
}

function ends({ local, remote }: Pair): string {
  return `${end(local)} → ${end(remote)}`;
}

function end({ type, address, port }: End): string {
  return `${type} ${shortEndpoint(address, port)}`;
}

function relayNote({ local }: Pair): string {
  if (local.relay_protocol === "") return "";
  const server = local.url === "" ? "" : ` of ${local.url}`;
  return `relay${server} over ${local.relay_protocol.toUpperCase()}`;
}

function join(separator: string, ...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(separator);
}
