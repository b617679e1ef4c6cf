// A page with one view, and what may happen there.

import { afterEach, beforeEach, vi } from "vitest";

import type { Answer, PeerConfig, Refusal } from "../src/messages";
import type { Traits } from "../src/model";
import widget from "../src/widget";
import { FakeModel, FakePeerConnection, last, showFrame, stubBrowser } from "./fakes";

export const PROBLEM = {
  problem: "no port is free",
  expected: "one of 5000-5004",
  fix: "close a notebook",
};

/** Removes the outputs and the models of the present test. */
const opened: (() => void)[] = [];

/** Gives each test of a file a page of its own, with the browser's WebRTC faked. */
export function usePage(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    stubBrowser();
  });

  afterEach(() => {
    // They listen to the window, which lives on. The model ends last, and with it all that it keeps.
    for (const close of opened.splice(0).reverse()) close();
    document.body.replaceChildren();
    hidePage(false);
    vi.restoreAllMocks();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
}

/** A model with one view on it, its first offer sent. */
export async function show(traits: Partial<Traits> = {}, model = new FakeModel(traits)) {
  const { initialize, render } = widget();
  const end = initialize({ model });
  opened.push(end);
  const open = () => {
    const el = document.createElement("div");
    document.body.append(el);
    const scoped = model.scoped();
    const clean_up = render({ model: scoped, el });
    const dispose = () => {
      clean_up();
      scoped.end();
    };
    opened.push(dispose);
    return { root: el, dispose };
  };
  const view = open();
  await settle();
  return { model, ...view, open, end };
}

/** Runs what waits on settled promises. */
export const settle = () => vi.advanceTimersByTimeAsync(0);
export const pass = (duration_ms: number) => vi.advanceTimersByTimeAsync(duration_ms);
/** Lets time pass while the media process answers each ping. */
export async function passAlive(duration_ms: number) {
  for (let passed_ms = 0; passed_ms < duration_ms; passed_ms += 1000) {
    peer().channel?.pong();
    await pass(1000);
  }
}
export const peer = () => last(FakePeerConnection.made);
export const state = (root: HTMLElement) => root.dataset["state"];

export async function answer(model: FakeModel, sdp = "answer") {
  const { view, seq } = last(model.sentOf("Offer"));
  model.reply({ type: "Answer", view, seq, sdp } satisfies Answer);
  await settle();
}

/** A removed output's view waits so long for another one. */
export const KEPT_MS = 2000;

export async function refuse(model: FakeModel) {
  const { view, seq } = last(model.sentOf("Offer"));
  model.reply({ type: "Refusal", view, seq, ...PROBLEM } satisfies Refusal);
  await settle();
}

export function hidePage(is_hidden: boolean) {
  Object.defineProperty(document, "hidden", { value: is_hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}

/** Sets the browser's statistics of the newest connection. */
export function decode(timestamp: number, framesDecoded: number) {
  const codec = { id: "C", type: "codec", mimeType: "video/H264" };
  const video = { id: "V", type: "inbound-rtp", kind: "video", codecId: "C" };
  peer()
    .report.set("C", codec)
    .set("V", { ...video, timestamp, framesDecoded });
}

/** The text of the details panel. */
export const details = (root: HTMLElement) =>
  root.querySelector(".gpuview-details")?.textContent ?? "";

/** The text of the message over the picture. */
export const message = (root: HTMLElement) =>
  root.querySelector(".gpuview-message")?.textContent ?? "";

/** Opens or closes the details panel. */
export async function pressDetails(root: HTMLElement) {
  root.querySelector<HTMLElement>(".gpuview-details-button")?.click();
  await settle();
}

/** Goes from the offer to the first frame. */
export async function play(model: FakeModel, root: HTMLElement) {
  await answer(model);
  peer().become("connected");
  showFrame(root);
  await settle();
}

// --- servers and candidates

export const TURN = "turn:turn.example:3478";
export const SERVERS = [{ urls: [TURN], username: "someone", credential: "sesame" }];
export const SRFLX =
  "candidate:1 1 udp 1677729535 198.51.100.20 51618 typ srflx raddr 0.0.0.0 rport 0";
export const RELAY = "candidate:2 1 udp 50340607 198.18.0.10 49160 typ relay raddr 0.0.0.0 rport 0";
export const HIDDEN = "candidate:3 1 udp 2113937151 06a76f4d-6190.local 41905 typ host";
export const TCP = "candidate:4 1 tcp 1518280447 10.0.0.20 9 typ host tcptype active";
export const KERNEL = "candidate:5 1 udp 2130706431 203.0.113.10 10111 typ host";
export const LATE = "candidate:6 1 udp 16777215 198.18.0.10 49200 typ relay";
export const LATER = "candidate:7 1 udp 16777215 198.18.0.10 49201 typ relay";

/** Opens a view that has been given ICE servers and has sent its offer. */
export async function showWith(config: Partial<PeerConfig> = {}) {
  const shown = await show({ needs_peer_config: true });
  shown.model.configure(shown.root.dataset["view"] ?? "", { ice_servers: SERVERS, ...config });
  await settle();
  return shown;
}
