// @vitest-environment happy-dom
// A whole view, with the carriers that stand in for WebRTC.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Carrier } from "../../src/carriers/carrier_policy";
import { FakeModel, FakePeerConnection, last, LIVE, showFrame } from "../fakes";
import {
  answer,
  details,
  hidePage,
  message,
  pass,
  peer,
  play,
  pressDetails,
  settle,
  show,
  state,
  usePage,
} from "../page";
import { piece, png } from "../stills";
import { FakeVideoDecoder, FakeWebSocket, ofType, pongNow, stubCarriers, tunnelled } from "./fakes";
import { packet, type PacketFields } from "./packets";

usePage();

const PLACE = "kernel-1/stream-1";
const ALL: readonly Carrier[] = ["webrtc", "socket", "comm"];
/** A page is painted this often. */
const PAINT_MS = 20;

beforeEach(() => {
  stubCarriers();
  const config = document.createElement("script");
  config.id = "jupyter-config-data";
  config.type = "application/json";
  config.textContent = JSON.stringify({ baseUrl: "/user/alice/" });
  document.head.append(config);
});

afterEach(() => document.getElementById("jupyter-config-data")?.remove());

const showAll = (carriers = ALL) => show({ place: PLACE, carriers });
const carrier = (root: HTMLElement) => root.dataset["carrier"];
const label = (root: HTMLElement) => root.querySelector(".gpuview-label")?.textContent;
const screens = (root: HTMLElement) => [...root.querySelectorAll(".gpuview-video")];

/** The socket that carries packets, not the one for offers. */
function watching(): FakeWebSocket {
  return last(FakeWebSocket.made.filter((socket) => socket.sentOf("Watch").length > 0));
}

/** The media process sends a packet, and the page paints. */
async function sendPacket(socket: FakeWebSocket, fields: PacketFields = {}) {
  socket.hear(packet(fields));
  await pass(PAINT_MS);
}

/** Lets the head start pass, and opens the socket that then begins. */
async function openSocket() {
  last(FakeWebSocket.made).open();
  await settle();
  return watching();
}

async function showBySocket(carriers = ALL) {
  const shown = await showAll(carriers);
  FakeWebSocket.made.forEach((socket) => socket.open());
  await pass(1000);
  const socket = await openSocket();
  await sendPacket(socket);
  return { ...shown, socket };
}

function tunnel(model: FakeModel, content: object) {
  const view = last(model.sentOf("CarrierOpen")).view;
  if (!(content instanceof Uint8Array)) {
    model.fire("msg:custom", { type: "CarrierData", view, text: JSON.stringify(content) });
    return;
  }
  const data = new DataView(content.buffer as ArrayBuffer);
  model.fire("msg:custom", { type: "CarrierData", view, text: "" }, [data]);
}

describe("signalling over the socket", () => {
  test("is open from the start, and carries the offer at once", async () => {
    const { model } = await showAll();
    const [socket] = FakeWebSocket.made;
    expect(socket?.url).toMatch(/^ws:.*\/user\/alice\/gpuview\/socket\/kernel-1\/stream-1$/);
    socket?.open();
    expect(socket?.sentOf("Offer")).toEqual([last(model.sentOf("Offer"))]);
  });

  test("is as good as the comm: the first answer counts", async () => {
    const { model, root } = await showAll();
    const socket = last(FakeWebSocket.made);
    socket.open();
    const { view, seq } = last(model.sentOf("Offer"));
    socket.hear({ type: "Answer", view, seq, sdp: "by socket" });
    await settle();
    expect(peer().remoteDescription?.sdp).toBe("by socket");
    await answer(model, "late");
    expect(peer().remoteDescription?.sdp).toBe("by socket");
    expect(socket.sentOf("Ack")).toEqual([{ type: "Ack", view, seq }]);
    expect(model.sentOf("Ack")).toHaveLength(1);
    expect(state(root)).toBe("connecting");
  });

  test("ends when WebRTC plays", async () => {
    const { model, root } = await showAll();
    const socket = last(FakeWebSocket.made);
    socket.open();
    await play(model, root);
    expect(socket.isClosed).toBe(true);
    await pass(3000);
    expect(FakeWebSocket.made).toHaveLength(1);
  });

  test("is closed only once it is open, or the browser's console has an error", async () => {
    const { model, root } = await showAll();
    await play(model, root);
    const [socket] = FakeWebSocket.made;
    expect(socket?.isClosed).toBe(false);
    socket?.open();
    expect(socket?.isClosed).toBe(true);
    expect(socket?.sent).toEqual([]);
  });

  test("is not tried again soon where the server has no extension", async () => {
    const { open } = await showAll(["webrtc", "socket"]);
    last(FakeWebSocket.made).end();
    await open();
    await settle();
    expect(FakeWebSocket.made).toHaveLength(1);
    await pass(999);
    expect(FakeWebSocket.made).toHaveLength(1);
    await pass(1000);
    const [, ...others] = FakeWebSocket.made;
    expect(others.length).toBeGreaterThan(0); // It may only just have been started.
    others.forEach((socket) => socket.end());
    const n = FakeWebSocket.made.length;
    await pass(4000);
    expect(FakeWebSocket.made).toHaveLength(n);
  });

  test.each([
    ["a kernel without a place", { place: "", carriers: ALL }],
    ["a setting that forbids it", { place: PLACE, carriers: ["webrtc", "comm"] as Carrier[] }],
  ])("is not there with %s", async (_case, traits) => {
    await show(traits);
    await pass(3000);
    expect(FakeWebSocket.made).toEqual([]);
  });
});

describe("a view that WebRTC does not reach", () => {
  test("shows its picture over the WebSocket, and says so", async () => {
    const { root, socket } = await showBySocket();
    expect(state(root)).toBe("playing");
    expect(carrier(root)).toBe("socket");
    expect(label(root)).toBe("playing over WebSocket");
    expect(root.dataset["size"]).toBe("640x360");
    expect(screens(root)).toHaveLength(1);
    expect(screens(root)[0]).toBeInstanceOf(HTMLCanvasElement);
    const view = root.dataset["view"];
    expect(socket.sentOf("Watch")).toEqual([
      { type: "Watch", view, codec: "H264", acknowledge_ms: 0 },
    ]);
  });

  test("shows nothing of a frame that was not painted", async () => {
    const { root } = await showAll();
    await pass(1000);
    const socket = await openSocket();
    socket.hear(packet());
    await settle();
    expect(state(root)).toBe("connecting");
    await pass(PAINT_MS);
    expect(state(root)).toBe("playing");
  });

  test("acknowledges what has come, and what was shown, apart", async () => {
    FakeVideoDecoder.holds = true;
    const { socket } = await showBySocket();
    expect(socket.sentOf("Received")).toMatchObject([{ seq: 0, shown: -1 }]);
    FakeVideoDecoder.holds = false;
    await sendPacket(socket, { seq: 1, is_keyframe: false });
    await pass(50);
    expect(socket.sentOf("Received")).toMatchObject([
      { seq: 0, shown: -1 },
      { seq: 1, shown: -1 },
      { seq: 1, shown: 1 },
    ]);
    const [first, second] = socket.sentOf("Received").map(({ arrived_ms }) => arrived_ms);
    expect(first).toHaveLength(1);
    expect(second).toHaveLength(1);
    expect(second?.[0]).toBeGreaterThan(first?.[0] ?? Infinity);
  });

  test("has figures like another", async () => {
    const { root, socket } = await showBySocket();
    for (let seq = 1; seq <= 40; seq += 1) {
      await sendPacket(socket, { seq, is_keyframe: false, timestamp: performance.now() * 90 });
      await pass(5);
      if (seq === 10) socket.pong();
    }
    await pressDetails(root);
    expect(Number(root.dataset["fps"])).toBeGreaterThan(20);
    expect(root.dataset["codec"]).toBe("H264");
    expect(details(root)).toMatch("WebSocket of the Jupyter server round trip 5 ms");
    const { latency_p50_ms = NaN } = last(socket.sentOf("Ping"));
    expect(latency_p50_ms).toBeGreaterThan(0);
    expect(latency_p50_ms).toBeLessThan(100);
  });

  test("follows a picture that changes its size", async () => {
    const { root, socket } = await showBySocket();
    await sendPacket(socket, { seq: 1, width: 320, height: 200 });
    socket.hear({ ...pongNow(), width: 320, height: 200 });
    expect(root.dataset["size"]).toBe("320x200");
    const [decoder] = FakeVideoDecoder.made;
    expect(decoder?.configs).toHaveLength(2);
    expect(FakeVideoDecoder.n_open).toBe(0);
  });

  test("shows stills over the picture that they fit", async () => {
    const { root, socket } = await showBySocket();
    vi.stubGlobal("createImageBitmap", async () => ({ width: 640, height: 360 }));
    await sendPacket(socket, { seq: 1, is_keyframe: false, timestamp: 3205 });
    const still = new Uint8Array(piece(3205, 100, 0, png(640, 360, 100)));
    socket.hear(new Uint8Array([2, ...still]));
    await settle();
    expect(root.dataset["exact"]).toBeDefined();
    await sendPacket(socket, { seq: 2, is_keyframe: false, timestamp: 6406 });
    expect(root.dataset["exact"]).toBeUndefined();
  });

  test("takes the comm where the socket shows nothing either", async () => {
    const { model, root } = await showAll();
    last(FakeWebSocket.made).end();
    await pass(1000);
    last(FakeWebSocket.made).end();
    await settle();
    expect(last(model.sentOf("CarrierOpen")).view).toBe(root.dataset["view"]);
    tunnel(model, pongNow());
    tunnel(model, packet());
    await pass(PAINT_MS);
    expect(carrier(root)).toBe("comm");
    expect(label(root)).toBe("playing through the kernel");
    expect(ofType(tunnelled(model), "Watch")).toHaveLength(1);
    expect(ofType(tunnelled(model), "Received")).toMatchObject([{ seq: 0, shown: -1 }]);
  });

  test("acknowledges five times a second through the kernel, every packet with its time", async () => {
    const { model } = await showAll();
    last(FakeWebSocket.made).end();
    await pass(1000);
    last(FakeWebSocket.made).end();
    await settle();
    tunnel(model, pongNow());
    for (let seq = 0; seq < 30; seq += 1) {
      tunnel(model, packet({ seq, is_keyframe: seq === 0 }));
      await pass(33);
    }
    await pass(250);
    const said = ofType(tunnelled(model), "Received");
    expect(said.length).toBeGreaterThanOrEqual(5);
    expect(said.length).toBeLessThanOrEqual(7);
    expect(last(said)).toMatchObject({ seq: 29, shown: 29 });
    const times = said.flatMap(({ arrived_ms }) => arrived_ms);
    expect(new Set(times).size).toBe(30);
  });

  test("says that it waits while the stream has no frame", async () => {
    const { model, root } = await showAll();
    model.push("status", { ...LIVE, state: "waiting" });
    await pass(1000);
    const socket = await openSocket();
    expect(label(root)).toBe("connecting");
    socket.pong();
    expect(label(root)).toBe("waiting for the first frame");
  });

  test("does not speak of WebRTC's failure while another carrier may do better", async () => {
    vi.spyOn(FakePeerConnection.prototype, "setLocalDescription").mockRejectedValue("forbidden");
    const { root } = await showAll();
    expect(state(root)).toBe("connecting");
    expect(message(root)).toBe("");
    await pass(0); // WebRTC has failed: nothing to wait for.
    const socket = await openSocket();
    await sendPacket(socket);
    expect(state(root)).toBe("playing");
    await pressDetails(root);
    expect(details(root)).toMatch("forbidden");
  });
});

describe("a better carrier that shows a frame", () => {
  test("takes over without a moment between, and ends the other one", async () => {
    const { model, root, socket } = await showBySocket();
    await answer(model);
    peer().become("connected");
    expect(carrier(root)).toBe("socket");
    expect(screens(root)[0]).toBeInstanceOf(HTMLCanvasElement);
    showFrame(root);
    expect(carrier(root)).toBe("webrtc");
    expect(label(root)).toBe("playing");
    expect(screens(root)).toHaveLength(1);
    expect(screens(root)[0]).toBeInstanceOf(HTMLVideoElement);
    expect(socket.isClosed).toBe(true);
    expect(root.querySelectorAll("canvas")).toHaveLength(0);
  });

  test("is the socket, after the comm", async () => {
    const { model, root } = await showAll();
    await pass(2000);
    tunnel(model, packet());
    await pass(PAINT_MS);
    expect(carrier(root)).toBe("comm");
    const socket = await openSocket();
    await sendPacket(socket);
    expect(carrier(root)).toBe("socket");
    expect(model.sentOf("CarrierClose")).toHaveLength(1);
    expect(screens(root)).toHaveLength(1);
  });

  test("is not a video that a browser does not let play", async () => {
    const { model, root } = await showBySocket();
    vi.spyOn(HTMLVideoElement.prototype, "paused", "get").mockReturnValue(true);
    await answer(model);
    peer().become("connected");
    showFrame(root);
    expect(carrier(root)).toBe("socket");
    expect(screens(root)[0]).toBeInstanceOf(HTMLCanvasElement);
  });

  test("is begun with the next time", async () => {
    await showBySocket();
    const { root } = await showAll();
    last(FakeWebSocket.made).open();
    await settle();
    await sendPacket(watching());
    expect(carrier(root)).toBe("socket");
    expect(FakePeerConnection.made).toHaveLength(2); // And WebRTC is tried behind it.
  });
});

describe("a carrier that ends", () => {
  test("leaves its last picture, and is opened again", async () => {
    const { root, socket } = await showBySocket();
    socket.end();
    expect(state(root)).not.toBe("playing");
    expect(carrier(root)).toBeUndefined();
    expect(screens(root)).toHaveLength(1);
    await settle();
    const next = await openSocket();
    expect(next).not.toBe(socket);
    await sendPacket(next);
    expect(carrier(root)).toBe("socket");
    expect(screens(root)).toHaveLength(1);
  });

  test("is WebRTC: after a second, the socket stands in", async () => {
    const { model, root } = await showAll();
    await play(model, root);
    peer().become("failed");
    await pass(999);
    expect(FakeWebSocket.made.filter((socket) => socket.sentOf("Watch").length > 0)).toEqual([]);
    await pass(1);
    const socket = await openSocket();
    await sendPacket(socket);
    expect(carrier(root)).toBe("socket");
    expect(message(root)).toBe("");
  });

  test("has gone silent: it is given up", async () => {
    const { root, socket } = await showBySocket(["socket"]);
    await pass(8000);
    expect(socket.isClosed).toBe(true);
    expect(state(root)).not.toBe("playing");
  });

  test("refuses each codec with words, which are shown if there is nothing else", async () => {
    const { root } = await showAll(["socket"]);
    const socket = await openSocket();
    const view = root.dataset["view"];
    const refusal = { problem: "no encoder", expected: "PyAV with one", fix: "install it" };
    socket.hear({ type: "Refusal", view, seq: 0, ...refusal });
    socket.hear({ type: "Refusal", view, seq: 0, ...refusal });
    expect(socket.sentOf("Watch").map(({ codec }) => codec)).toEqual(["H264", "JPEG"]);
    expect(state(root)).toBe("failed");
    expect(message(root)).toMatch("no encoder");
  });

  test("refuses the page altogether: nothing else is asked of it", async () => {
    const { root } = await showAll(["socket"]);
    const socket = await openSocket();
    const refusal = { problem: "there is no stream 's77'", expected: "one", fix: "run its cell" };
    socket.hear({ type: "Refusal", view: "", seq: 0, ...refusal });
    expect(socket.sentOf("Watch").map(({ codec }) => codec)).toEqual(["H264"]);
    expect(state(root)).toBe("failed");
    expect(message(root)).toMatch("no stream 's77'");
  });

  test("will never be allowed: no view asks again, and a person is told why", async () => {
    const { root, open } = await showAll(["socket"]);
    const socket = await openSocket();
    socket.end(4403, "the kernel is behind a gateway, on another machine");
    expect(message(root)).toMatch("the kernel is behind a gateway");
    open();
    await pass(3_600_000);
    window.dispatchEvent(new Event("online"));
    await settle();
    expect(FakeWebSocket.made).toHaveLength(1);
  });

  test("is one too many for the server: all views leave it alone for a while", async () => {
    const { root, open } = await showAll(["socket"]);
    const socket = await openSocket();
    socket.end(4429, "too many pages are connected: max_sockets");
    expect(message(root)).toMatch("too many pages");
    open();
    await pass(29_999);
    expect(FakeWebSocket.made).toHaveLength(1);
    await pass(1);
    expect(FakeWebSocket.made).toHaveLength(3);
  });

  test.each([4404, 4410])(
    "ends with code %i: the next media process is soon there",
    async (code) => {
      await showAll(["socket"]);
      const socket = await openSocket();
      socket.end(code, "the kernel has no media process now");
      await settle();
      expect(FakeWebSocket.made).toHaveLength(2);
    },
  );

  test("brings what the browser does not decode: the next one asks for something else", async () => {
    FakeVideoDecoder.rejects = "avc1";
    await showAll(["socket"]);
    const socket = await openSocket();
    for (const seq of [0, 1, 2]) await sendPacket(socket, { seq });
    expect(socket.isClosed).toBe(true);
    const next = await openSocket();
    expect(next.sentOf("Watch").map(({ codec }) => codec)).toEqual(["JPEG"]);
  });

  test("is not given up while packets come, though nothing answers the pings", async () => {
    const { root, socket } = await showBySocket();
    for (let seq = 1; seq <= 12; seq += 1) {
      await sendPacket(socket, { seq, is_keyframe: false });
      await pass(1000);
    }
    expect(carrier(root)).toBe("socket");
  });

  test("cannot be opened at all: the view says that no way is left", async () => {
    const { root } = await showAll(["socket"]);
    expect(state(root)).toBe("connecting");
    last(FakeWebSocket.made).end();
    expect(message(root)).toMatch("GPUVIEW_CARRIERS");
    expect(FakePeerConnection.made).toEqual([]);
  });

  test("does not open within five seconds: the next one has begun, and it is tried again", async () => {
    const { root } = await showAll(["socket"]);
    const [socket] = FakeWebSocket.made;
    await pass(5000);
    socket?.open(); // Too late.
    expect(socket?.isClosed).toBe(true);
    expect(state(root)).toBe("failed");
    expect(FakeWebSocket.made.length).toBeGreaterThan(1);
  });

  test("comes back at once when the network does", async () => {
    await showAll(["socket"]);
    last(FakeWebSocket.made).open();
    await settle();
    for (let failures = 0; failures < 5; failures += 1) {
      last(FakeWebSocket.made).end();
      await pass(8000);
      last(FakeWebSocket.made).open();
    }
    last(FakeWebSocket.made).end();
    const n = FakeWebSocket.made.length;
    await pass(3000);
    expect(FakeWebSocket.made).toHaveLength(n);
    window.dispatchEvent(new Event("online"));
    expect(FakeWebSocket.made).toHaveLength(n + 1);
  });
});

describe("behind another carrier's picture", () => {
  test("WebRTC fails quietly, and is tried again, less and less often", async () => {
    const { model, root, socket } = await showBySocket();
    const passPlaying = async (duration_ms: number) => {
      for (let passed_ms = 0; passed_ms < duration_ms; passed_ms += 1000) {
        socket.pong();
        await pass(1000);
      }
    };
    const n_tries = () => FakePeerConnection.made.length;
    await answer(model);
    peer().become("failed");
    await passPlaying(29_000);
    expect(n_tries()).toBe(1);
    expect(message(root)).toBe("");
    expect(carrier(root)).toBe("socket");
    await passPlaying(2000);
    expect(n_tries()).toBe(2);
    await answer(model);
    peer().become("failed");
    await passPlaying(58_000);
    expect(n_tries()).toBe(2);
    await passPlaying(3000);
    expect(n_tries()).toBe(3);
    expect(carrier(root)).toBe("socket");
  });

  test("WebRTC is tried again as soon as the network changes", async () => {
    const { model } = await showBySocket();
    await answer(model);
    peer().become("failed");
    window.dispatchEvent(new Event("online"));
    await settle();
    expect(FakePeerConnection.made).toHaveLength(2);
  });

  test("the end of the stream ends everything, and the picture stays", async () => {
    const { model, root, socket } = await showBySocket();
    model.status("closed");
    expect(state(root)).toBe("closed");
    expect(socket.isClosed).toBe(true);
    expect(screens(root)).toHaveLength(1);
    await pass(60_000);
    expect(FakeWebSocket.made.every(({ isClosed }) => isClosed)).toBe(true);
  });

  test("a view that is closed ends everything", async () => {
    const { model, dispose, end } = await showBySocket();
    dispose();
    end();
    await settle();
    expect(FakeWebSocket.made.every(({ isClosed }) => isClosed)).toBe(true);
    expect(peer().isClosed).toBe(true);
    expect(model.listeners).toBe(0);
    expect(FakeVideoDecoder.made.map((decoder) => decoder.state)).toEqual(["closed"]);
    const n = FakeWebSocket.made.length;
    await pass(60_000);
    expect(FakeWebSocket.made).toHaveLength(n);
  });

  test("nothing begins in a tab that nobody sees", async () => {
    const { model } = await showAll(["webrtc", "comm"]);
    hidePage(true);
    await pass(5000);
    expect(model.sentOf("CarrierOpen")).toEqual([]);
    hidePage(false);
    await pass(1000);
    expect(model.sentOf("CarrierOpen")).toHaveLength(1);
  });
});

describe("a tunnel through the kernel", () => {
  test("is opened anew after the kernel closed it", async () => {
    const { model } = await showAll(["comm"]);
    await settle();
    expect(model.sentOf("CarrierOpen")).toHaveLength(1);
    model.fire("msg:custom", {
      type: "CarrierClosed",
      view: last(model.sentOf("CarrierOpen")).view,
    });
    await settle();
    expect(model.sentOf("CarrierOpen")).toHaveLength(2);
    expect(model.sentOf("CarrierClose")).toEqual([]);
  });

  test("takes buffers of either kind, and leaves alone what is another view's", async () => {
    const { model, root } = await showAll(["comm"]);
    await settle();
    const data = { type: "CarrierData", text: "" };
    model.fire("msg:custom", { ...data, view: "another" }, [packet().buffer]);
    await pass(PAINT_MS);
    expect(FakeVideoDecoder.made).toEqual([]);
    model.fire("msg:custom", { ...data, view: root.dataset["view"] }, [packet().buffer]);
    await pass(PAINT_MS);
    expect(carrier(root)).toBe("comm");
  });

  test("ends with the kernel's connection", async () => {
    const { model, root } = await showAll(["comm"]);
    await settle();
    tunnel(model, packet());
    await pass(PAINT_MS);
    model.isDisposed = true;
    await pass(1000); // The next ping cannot be sent.
    expect(carrier(root)).toBeUndefined();
  });
});

test("the media process is told over any carrier that nobody sees the picture", async () => {
  const { socket } = await showBySocket();
  hidePage(true);
  await pass(1000);
  expect(last(socket.sentOf("Ping")).is_paused).toBe(true);
  hidePage(false);
  expect(last(socket.sentOf("Ping")).is_paused).toBe(false);
});
