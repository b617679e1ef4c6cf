// One RTCPeerConnection, from its offer to its close.

import { candidatesOf, labelOfText, parseCandidate } from "./candidate";
import type { ConnectionStates } from "./details";
import { diagnose, type Facts } from "./diagnose";
import { Gathering } from "./gathering";
import { isTurn } from "./ice_servers";
import { Liveness } from "./liveness";
import type { Percentiles } from "./latency";
import { logStates, NO_LOG, redact, startLog, type Log } from "./log";
import { INTERACTION_CHANNEL } from "./messages";
import type { Candidates, FromView, PeerConfig, Ping, Pong, Problem, ToView } from "./messages";
import {
  BROKEN_OFF,
  browserFailed,
  candidateRejected,
  constructorFailed,
  isMinor,
  kernelProblem,
  oldestFirst,
  type ConnectionProblem,
} from "./problems";
import type { Signalling } from "./signalling";
import { STILL_CHANNEL } from "./still_assembler";
import { TIMEOUT_MS, type ConnectionEvent } from "./state";
import { candidatePairs, isByTcpRelay, type CandidatePair, type StatsReport } from "./stats_report";
import { after, every } from "./timers";
import { Trickle } from "./trickle";

/** How often a connection is asked for its candidate pairs before it is connected. */
const PAIRS_MS = 1000;

export interface PeerOptions {
  readonly signalling: Signalling;
  /** Whether to ask the kernel first how to connect. */
  readonly needs_peer_config: boolean;
  readonly emit: (event: ConnectionEvent) => void;
  /** `problem` may have changed. */
  readonly onChange: () => void;
  /** Gets the track before the offer goes out, so that the player is ready for its frames. */
  readonly onTrack: (track: MediaStreamTrack) => void;
  /** How old the picture is; told to the media process. */
  readonly latency: () => Percentiles | null;
  /** Whether nobody can see the picture, or a person has paused it; told to the media process. */
  readonly isPaused: () => boolean;
  readonly onPong: (pong: Pong) => void;
  /** Gets what comes over the data channel for stills. */
  readonly onStill: (message: ArrayBuffer | string) => void;
  /** Gets what this view is told about its picture. */
  readonly onTold: (message: ToView) => void;
  /** Closes the connection; nothing is emitted after it. */
  readonly stop: AbortSignal;
}

type Config = Pick<PeerConfig, "ice_servers" | "ice_transport_policy" | "wants_log">;

export class Peer {
  readonly #options: PeerOptions;
  readonly #trickle: Trickle;
  #config: Config = { ice_servers: [], ice_transport_policy: "all", wants_log: false };
  #log: Log = NO_LOG;
  #connection: RTCPeerConnection | null = null;
  #gathering: Gathering | null = null;
  #liveness: Liveness | null = null;
  #interaction: RTCDataChannel | null = null;
  #deadline = new AbortController();
  /** As text, each once: those in the answer, and those that came later. */
  #remote_candidates: readonly string[] = [];
  #rejected: readonly ConnectionProblem[] = [];
  #kernel_problems: readonly ConnectionProblem[] = [];
  /** Why the kernel could not tell all servers. */
  #missing_servers: readonly ConnectionProblem[] = [];
  /** All of them, the oldest first. */
  #problems: readonly ConnectionProblem[] = [];
  #pairs: readonly CandidatePair[] = [];
  #is_connected = false;
  #is_relayed_by_tcp = false;

  /** Starts at once. */
  constructor(options: PeerOptions) {
    this.#options = options;
    this.#trickle = new Trickle(options.signalling, options.stop);
    this.#startDeadline(() => this.#emit({ type: "unanswered" }));
    this.#negotiate().catch((error: unknown) => {
      const explain = this.#connection === null ? constructorFailed : browserFailed;
      this.#emit({ type: "refused", problem: explain(error) });
    });
  }

  /** The newest problem that a person should read while there is no picture. */
  get problem(): ConnectionProblem | null {
    return this.#problems.findLast((problem) => !isMinor(problem)) ?? null;
  }

  /** What is known about connecting, also after the connection is closed. */
  get facts(): Facts {
    return {
      policy: this.#config.ice_transport_policy,
      servers: this.#gathering?.servers.notes ?? [],
      local: this.#gathering?.candidates ?? [],
      remote: this.#remote_candidates.map(parseCandidate).filter((each) => each !== null),
      problems: this.#problems,
      pairs: this.#pairs,
    };
  }

  get states(): ConnectionStates {
    return {
      connection: this.#connection?.connectionState ?? "new",
      ice: this.#connection?.iceConnectionState ?? "new",
      gathering: this.#connection?.iceGatheringState ?? "new",
    };
  }

  /** The connection's statistics; empty before the connection is made and after its end. */
  async stats(): Promise<StatsReport> {
    if (this.#connection === null || this.#options.stop.aborted) return new Map();
    // Some browsers reject this if the connection is closed meanwhile.
    const report: StatsReport = await this.#connection.getStats().catch(() => new Map());
    const pairs = candidatePairs(report);
    // A browser forgets its pairs when it gives up, which is when they matter.
    if (pairs.length > 0) this.#pairs = pairs;
    const selected = pairs.find(({ is_selected }) => is_selected);
    if (selected !== undefined) this.#is_relayed_by_tcp = isByTcpRelay(selected);
    return report;
  }

  /** Finds out soon whether the connection is still alive. */
  probe(): void {
    this.#liveness?.probe();
  }

  /** Tells the media process that `isPaused` has changed. */
  tellPaused(): void {
    this.#liveness?.tell();
  }

  /** Says something about the picture; false if the connection is not open. */
  say(message: FromView): boolean {
    const channel = this.#interaction;
    if (channel?.readyState !== "open") return false;
    channel.send(JSON.stringify(message));
    return true;
  }

  async #negotiate(): Promise<void> {
    const { signalling, needs_peer_config, onTrack, stop } = this.#options;
    if (needs_peer_config) {
      const config = await signalling.getPeerConfig(stop);
      if (stop.aborted) return;
      if (config.type === "Refusal") return this.#emit({ type: "refused", problem: config });
      this.#config = config;
      this.#missing_servers = config.problems.map(kernelProblem);
    }
    const connection = this.#open();
    onTrack(connection.addTransceiver("video", { direction: "recvonly" }).receiver.track);
    await connection.setLocalDescription();
    if (!stop.aborted) await this.#exchange(connection);
  }

  async #exchange(connection: RTCPeerConnection): Promise<void> {
    const { signalling, stop } = this.#options;
    const sdp = connection.localDescription?.sdp ?? "";
    this.#log(`offer:\n${redact(sdp)}`);
    // Without waiting for candidates: most kernels learn our address from our connectivity checks.
    const exchange = signalling.exchange(sdp, stop);
    signalling.receiveCandidates((message) => this.#receive(connection, message), stop);
    const reply = await exchange;
    if (reply.type === "Refusal") return this.#emit({ type: "refused", problem: reply });
    this.#log(`answer:\n${redact(reply.sdp)}`);
    this.#startDeadline(() => this.#lose());
    this.#emit({ type: "answered" });
    this.#trickle.resend();
    await connection.setRemoteDescription({ type: "answer", sdp: reply.sdp });
    const early = this.#remote_candidates;
    this.#remote_candidates = candidatesOf(reply.sdp);
    await this.#add(connection, early);
  }

  #open(): RTCPeerConnection {
    const { signalling, stop } = this.#options;
    const { ice_servers, ice_transport_policy, wants_log } = this.#config;
    const connection = new RTCPeerConnection({
      iceServers: [...ice_servers],
      iceTransportPolicy: ice_transport_policy,
      bundlePolicy: "max-bundle", // Or each viewer makes two allocations at a TURN server.
    });
    this.#connection = connection;
    stop.addEventListener("abort", () => connection.close(), { once: true });
    if (wants_log) this.#log = startLog(signalling.view, (text) => signalling.sendLog(text));
    logStates(connection, this.#log, stop);
    const [urls, onChange] = [usedUrls(this.#config), () => this.#update()];
    this.#gathering = new Gathering(connection, { urls, onChange, log: this.#log, stop });
    const follow = () => this.#follow(connection);
    connection.addEventListener("connectionstatechange", follow, { signal: stop });
    const channel = connection.createDataChannel("gpuview", { ordered: false, maxRetransmits: 0 });
    const watch = () => this.#watch(channel);
    channel.addEventListener("open", watch, { once: true, signal: stop });
    this.#openInteraction(connection);
    this.#receiveStills(connection);
    every(PAIRS_MS, () => this.#is_connected || void this.stats(), stop);
    return connection;
  }

  /** Finds out whether the media process still answers. */
  #watch(channel: RTCDataChannel): void {
    const { latency, isPaused, onPong, stop } = this.#options;
    const send = (ping: Ping) =>
      channel.readyState === "open" && channel.send(JSON.stringify(ping));
    const onDead = () => this.#lose();
    const isRelayedByTcp = () => this.#is_relayed_by_tcp;
    const liveness = new Liveness({
      send,
      latency,
      isPaused,
      isRelayedByTcp,
      onPong,
      onDead,
      stop,
    });
    const hear = ({ data }: MessageEvent<string>) => liveness.hear(JSON.parse(data));
    channel.addEventListener("message", hear, { signal: stop });
    this.#liveness = liveness;
  }

  /** What people do must arrive, and in order. */
  #openInteraction(connection: RTCPeerConnection): void {
    const channel = connection.createDataChannel(INTERACTION_CHANNEL);
    const { onTold, stop } = this.#options;
    const hear = ({ data }: MessageEvent<string>) => onTold(JSON.parse(data) as ToView);
    channel.addEventListener("message", hear, { signal: stop });
    this.#interaction = channel;
  }

  /** Asks for stills, unless the browser does not say which frame it shows. */
  #receiveStills(connection: RTCPeerConnection): void {
    if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) return;
    const { onStill, stop } = this.#options;
    const channel = connection.createDataChannel(STILL_CHANNEL);
    channel.binaryType = "arraybuffer";
    channel.addEventListener("message", ({ data }) => onStill(data), { signal: stop });
  }

  #follow(connection: RTCPeerConnection): void {
    // "disconnected" often mends itself, and if it does not, the pongs stop.
    if (connection.connectionState === "failed") this.#lose();
    if (connection.connectionState !== "connected") return;
    this.#is_connected = true;
    void this.stats(); // The pairs, for the first pings.
    this.#deadline.abort();
    this.#trickle.stopRepeating();
    this.#emit({ type: "connected" });
  }

  /** Takes what the kernel adds to its answer; this may overtake the answer itself. */
  #receive(connection: RTCPeerConnection, { candidates, problems }: Candidates): void {
    this.#kernel_problems = problems.map(kernelProblem);
    this.#update();
    if (connection.remoteDescription === null) this.#remote_candidates = candidates;
    else void this.#add(connection, candidates);
  }

  async #add(connection: RTCPeerConnection, candidates: readonly string[]): Promise<void> {
    const added = candidates.filter((each) => !this.#remote_candidates.includes(each));
    this.#remote_candidates = [...this.#remote_candidates, ...added];
    for (const candidate of added) {
      this.#log(`the kernel's candidate: ${labelOfText(candidate)}`);
      try {
        await connection.addIceCandidate({ candidate, sdpMLineIndex: 0 });
      } catch (error) {
        if (this.#options.stop.aborted) return;
        this.#rejected = [...this.#rejected, candidateRejected(candidate, error)];
        this.#update();
      }
    }
  }

  /** Passes on what has changed about the candidates and the problems. */
  #update(): void {
    const gathering = this.#gathering;
    if (gathering === null) return;
    const own = [...gathering.servers.problems, ...this.#rejected];
    const kernels = unique([...this.#missing_servers, ...this.#kernel_problems]);
    this.#problems = oldestFirst(this.#problems, [...kernels, ...own]);
    this.#trickle.update(gathering.for_kernel, own.map(asMessage));
    this.#options.onChange();
    const is_hopeless = this.#config.ice_transport_policy === "relay" && gathering.areRelaysLost;
    if (!is_hopeless) return;
    this.#trickle.flush(); // For the kernel's log.
    this.#emit({ type: "refused", problem: diagnose(this.facts) });
  }

  #lose(): void {
    this.#emit({ type: "lost", problem: this.#is_connected ? BROKEN_OFF : diagnose(this.facts) });
  }

  #startDeadline(giveUp: () => void): void {
    this.#deadline.abort();
    this.#deadline = new AbortController();
    after(TIMEOUT_MS, giveUp, AbortSignal.any([this.#options.stop, this.#deadline.signal]));
  }

  #emit(event: ConnectionEvent): void {
    if (!this.#options.stop.aborted) this.#options.emit(event);
  }
}

/** The kernel's side may lack the same servers for the same reason. */
function unique(problems: readonly ConnectionProblem[]): readonly ConnectionProblem[] {
  return [...new Map(problems.map((each) => [each.problem, each])).values()];
}

function asMessage({ problem, expected, fix }: Problem): Problem {
  return { problem, expected, fix };
}

/** Returns the servers that the browser will ask. */
function usedUrls({ ice_servers, ice_transport_policy }: Config): readonly string[] {
  const urls = ice_servers.flatMap((server) => server.urls);
  return ice_transport_policy === "relay" ? urls.filter(isTurn) : urls;
}
