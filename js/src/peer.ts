// One RTCPeerConnection, from its offer to its close.

import { candidatesOf, labelOf, parseCandidate, parseCandidates } from "./candidate";
import type { States } from "./details";
import { diagnose, type Facts } from "./diagnose";
import { Gathering } from "./gathering";
import { Liveness } from "./liveness";
import { logStates, NO_LOG, redact, startLog, type Log } from "./log";
import type { Candidates, PeerConfig } from "./messages";
import { entriesOf, pairsOf, type Pair } from "./report";
import { isTurn } from "./servers";
import type { Signalling } from "./signal";
import { PATIENCE_MS, type PeerEvent } from "./state";
import { after, every } from "./timers";
import { Trickle } from "./trickle";
import { inOrderOfNews, isMinor, type Trouble, type Words } from "./words";

/** While it connects, the connection is asked so often how far it has come. */
const SURVEY_MS = 1000;

export interface PeerOptions {
  readonly signalling: Signalling;
  /** Whether to ask the kernel first how to connect. */
  readonly needs_peer_config: boolean;
  readonly emit: (event: PeerEvent) => void;
  /** There may be something else to say of the way to a connection, see `trouble`. */
  readonly onNews: () => void;
  /** Is given the track before the offer goes out, so that the player is ready for its frames. */
  readonly onTrack: (track: MediaStreamTrack) => void;
  /** Closes the connection; nothing is emitted after it. */
  readonly stop: AbortSignal;
}

type Plan = Pick<PeerConfig, "ice_servers" | "ice_transport_policy" | "wants_log">;

const PLAIN: Plan = { ice_servers: [], ice_transport_policy: "all", wants_log: false };

export class Peer {
  readonly #options: PeerOptions;
  readonly #trickle: Trickle;
  #plan = PLAIN;
  #log: Log = NO_LOG;
  #connection: RTCPeerConnection | null = null;
  #gathering: Gathering | null = null;
  #liveness: Liveness | null = null;
  #cancelDeadline: () => void;
  /** As text, each once: those of the answer, and those that came later. */
  #kernels: readonly string[] = [];
  #kernels_troubles: readonly Trouble[] = [];
  #refused: readonly Trouble[] = [];
  /** In the order in which they became known. */
  #troubles: readonly Trouble[] = [];
  #pairs: readonly Pair[] = [];
  #is_connected = false;

  /** Starts at once. */
  constructor(options: PeerOptions) {
    this.#options = options;
    this.#trickle = new Trickle(options.signalling, options.stop);
    this.#cancelDeadline = this.#startDeadline(() => this.#emit({ type: "overdue" }));
    this.#negotiate().catch((error: unknown) =>
      this.#emit({
        type: "refused",
        words: this.#connection === null ? misfit(error) : mishap(error),
      }),
    );
  }

  /** The newest thing that went wrong and is worth a person's while before there is a picture. */
  get trouble(): Trouble | null {
    return this.#troubles.findLast((trouble) => !isMinor(trouble)) ?? null;
  }

  /** What is known of the way to a connection; also when it is closed. */
  get facts(): Facts {
    return {
      policy: this.#plan.ice_transport_policy,
      servers: this.#gathering?.servers ?? [],
      own: this.#gathering?.candidates ?? [],
      kernels: parseCandidates(this.#kernels),
      troubles: this.#troubles,
      pairs: this.#pairs,
    };
  }

  get states(): States {
    return {
      connection: this.#connection?.connectionState ?? "new",
      ice: this.#connection?.iceConnectionState ?? "new",
      gathering: this.#connection?.iceGatheringState ?? "new",
    };
  }

  /** The connection's statistics, empty before there is a connection and after its end. */
  async stats(): Promise<Iterable<readonly [string, unknown]>> {
    if (this.#connection === null || this.#options.stop.aborted) return [];
    // Some browsers refuse it to a connection that is closed meanwhile.
    const report = await this.#connection.getStats().catch(() => []);
    const pairs = pairsOf(entriesOf(report));
    // A browser forgets what it has tried when it gives up, and that is when it matters.
    if (pairs.length > 0) this.#pairs = pairs;
    return report;
  }

  /** Finds out soon whether the connection is still alive, as there is some doubt. */
  probe(): void {
    this.#liveness?.probe();
  }

  async #negotiate(): Promise<void> {
    const { signalling, needs_peer_config, onTrack, stop } = this.#options;
    if (needs_peer_config) {
      const welcome = await signalling.welcome(stop);
      if (stop.aborted) return;
      if (welcome.type === "Refusal") return this.#emit({ type: "refused", words: welcome });
      this.#plan = welcome;
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
    // Without waiting for candidates: most kernels learn our address from our checks.
    const exchange = signalling.exchange(sdp, stop);
    signalling.hearCandidates((message) => this.#takeCandidates(connection, message), stop);
    const reply = await exchange;
    if (reply.type === "Refusal") return this.#emit({ type: "refused", words: reply });
    this.#log(`answer:\n${redact(reply.sdp)}`);
    this.#cancelDeadline();
    this.#cancelDeadline = this.#startDeadline(() => this.#lose());
    this.#emit({ type: "answered" });
    this.#trickle.again();
    await connection.setRemoteDescription({ type: "answer", sdp: reply.sdp });
    const late = this.#kernels;
    this.#kernels = candidatesOf(reply.sdp);
    await this.#add(connection, late);
  }

  #open(): RTCPeerConnection {
    const { signalling, stop } = this.#options;
    const { ice_servers, ice_transport_policy, wants_log } = this.#plan;
    const connection = new RTCPeerConnection({
      iceServers: [...ice_servers],
      iceTransportPolicy: ice_transport_policy,
      bundlePolicy: "max-bundle", // Or each viewer takes two allocations of a TURN server.
    });
    this.#connection = connection;
    stop.addEventListener("abort", () => connection.close(), { once: true });
    if (wants_log) this.#log = startLog(signalling.view, (text) => signalling.log(text));
    logStates(connection, this.#log, stop);
    const [urls, onNews] = [urlsOf(this.#plan), () => this.#takeNews()];
    this.#gathering = new Gathering(connection, { urls, onNews, log: this.#log, stop });
    const follow = () => this.#follow(connection);
    connection.addEventListener("connectionstatechange", follow, { signal: stop });
    this.#openChannel(connection);
    every(SURVEY_MS, () => this.#is_connected || void this.stats(), stop);
    return connection;
  }

  #openChannel(connection: RTCPeerConnection): void {
    const { stop } = this.#options;
    const channel = connection.createDataChannel("gpuview", { ordered: false, maxRetransmits: 0 });
    const watch = () => (this.#liveness = new Liveness(channel, () => this.#lose(), stop));
    channel.addEventListener("open", watch, { once: true, signal: stop });
  }

  #follow(connection: RTCPeerConnection): void {
    // "disconnected" is left alone: it often mends itself, and where it does not, pongs stay away.
    if (connection.connectionState === "failed") this.#lose();
    if (connection.connectionState !== "connected") return;
    this.#is_connected = true;
    this.#cancelDeadline();
    this.#trickle.settle();
    this.#emit({ type: "connected" });
  }

  /** Takes what the kernel adds to its answer, which may overtake the answer itself. */
  #takeCandidates(connection: RTCPeerConnection, { candidates, problems }: Candidates): void {
    this.#kernels_troubles = problems.map((words) => ({ kind: "kernel", words }));
    this.#takeNews();
    if (connection.remoteDescription === null) this.#kernels = candidates;
    else void this.#add(connection, candidates);
  }

  async #add(connection: RTCPeerConnection, candidates: readonly string[]): Promise<void> {
    const news = candidates.filter((each) => !this.#kernels.includes(each));
    this.#kernels = [...this.#kernels, ...news];
    for (const candidate of news) {
      this.#log(`the kernel's candidate: ${labelOfText(candidate)}`);
      try {
        await connection.addIceCandidate({ candidate, sdpMLineIndex: 0 });
      } catch (error) {
        if (this.#options.stop.aborted) return;
        this.#refused = [...this.#refused, refusal(candidate, error)];
        this.#takeNews();
      }
    }
  }

  /** Something about the way to a connection is known that was not known before. */
  #takeNews(): void {
    const gathering = this.#gathering;
    if (gathering === null) return;
    const own = [...gathering.troubles, ...this.#refused];
    this.#troubles = inOrderOfNews(this.#troubles, [...this.#kernels_troubles, ...own]);
    this.#trickle.say(
      gathering.forKernel,
      own.map(({ words }) => words),
    );
    this.#options.onNews();
    const is_hopeless = this.#plan.ice_transport_policy === "relay" && gathering.areRelaysLost;
    if (!is_hopeless) return;
    this.#trickle.flush(); // For the kernel's log.
    this.#emit({ type: "refused", words: diagnose(this.facts) });
  }

  #lose(): void {
    this.#emit({ type: "lost", words: this.#is_connected ? BROKEN_OFF : diagnose(this.facts) });
  }

  #startDeadline(give_up: () => void): () => void {
    return after(PATIENCE_MS, give_up, this.#options.stop);
  }

  #emit(event: PeerEvent): void {
    if (!this.#options.stop.aborted) this.#options.emit(event);
  }
}

const BROKEN_OFF: Words = {
  problem: "the video connection broke off",
  expected: "an answer from the kernel over UDP every few seconds",
  fix: "look whether this browser and the kernel's machine are still on the network",
};

/** Returns the servers that the browser will ask. */
function urlsOf({ ice_servers, ice_transport_policy }: Plan): readonly string[] {
  const urls = ice_servers.flatMap((server) => server.urls);
  return ice_transport_policy === "relay" ? urls.filter(isTurn) : urls;
}

function labelOfText(text: string): string {
  const candidate = parseCandidate(text);
  return candidate === null ? "that cannot be read" : labelOf(candidate);
}

function refusal(candidate: string, error: unknown): Trouble {
  const words = {
    problem: `this browser does not take the kernel's candidate ${labelOfText(candidate)}: ${said(error)}`,
    expected: "a candidate as RFC 8839 describes it",
    fix: "look for a wrong address in GPUVIEW_PUBLIC_IP",
  };
  return { kind: "candidate", words };
}

/** What a browser says that has no WebRTC, has it switched off, or cannot read the answer. */
function mishap(error: unknown): Words {
  return {
    problem: `this browser could not make a connection: ${said(error)}`,
    expected: "a browser with WebRTC and H.264 or VP8",
    fix: "allow WebRTC in the browser's settings and extensions, or use another browser",
  };
}

/** What a browser says before there is a connection: it has no WebRTC, or is given bad servers. */
function misfit(error: unknown): Words {
  if (!(error instanceof DOMException)) return mishap(error);
  return {
    problem: `this browser does not take the STUN and TURN servers: ${said(error)}`,
    expected: "stun:, turn: and turns: URLs, the last two with a username and a credential",
    fix: "correct GPUVIEW_ICE_SERVERS, GPUVIEW_STUN_URL or GPUVIEW_TURN_URL",
  };
}

/** A URL with credentials in it is wrong, and its error quotes it. */
function said(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/(\w+:)\S*@/g, "$1");
}
