// @vitest-environment happy-dom
// A whole view of a grid of ranks, over a WebSocket.
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Tile, Tiles } from "../../src/messages";
import { FakeVideoDecoder, FakeWebSocket, stubCarriers } from "../carriers/fakes";
import { packet, type PacketFields } from "../carriers/packets";
import { last } from "../fakes";
import { pass, settle, show, usePage } from "../page";

usePage();

const TILE: Tile = { rank: 0, host: "node7", width: 320, height: 180, text: "" };
const tiles = (...some: Partial<Tile>[]): Tiles => ({
  type: "Tiles",
  tiles: some.map((each) => ({ ...TILE, ...each })),
});
let width_px = 640;

beforeEach(() => {
  stubCarriers();
  width_px = 640;
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockImplementation(() => width_px);
  const config = document.createElement("script");
  config.id = "jupyter-config-data";
  config.type = "application/json";
  config.textContent = JSON.stringify({ baseUrl: "/" });
  document.head.append(config);
});

afterEach(() => document.getElementById("jupyter-config-data")?.remove());

/** Opens a view that is told of these tiles, and asks for packets. */
async function showGrid(told: Tiles) {
  const shown = await show({ place: "kernel/stream", carriers: ["socket"] });
  const socket = last(FakeWebSocket.made);
  socket.open();
  socket.hear(told);
  await settle();
  const send = async (fields: PacketFields) => {
    socket.hear(packet({ width: 320, height: 180, ...fields }));
    await pass(20);
  };
  return { ...shown, socket, send };
}

const labels = (root: HTMLElement) =>
  [...root.querySelectorAll(".gpuview-tile")].map((each) => each.textContent);

test("each rank has a decoder of its own, and all are drawn into one picture", async () => {
  const { root, socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 3 }));
  await send({ seq: 0, tile: 0 });
  await send({ seq: 1, tile: 3 });
  await send({ seq: 2, tile: 0, is_keyframe: false });
  await send({ seq: 3, tile: 3, is_keyframe: false });
  expect(FakeVideoDecoder.made.map(({ chunks }) => chunks.length)).toEqual([2, 2]);
  expect(FakeVideoDecoder.n_open).toBe(0);
  const screens = root.querySelectorAll<HTMLCanvasElement>("canvas.gpuview-video");
  expect([...screens].map(({ width, height }) => [width, height])).toEqual([[640, 180]]);
  const { drawImage } = last([...screens]).getContext("2d") as CanvasRenderingContext2D;
  const source = [0, 0, 320, 180] as const;
  expect(drawImage).toHaveBeenCalledWith(expect.anything(), ...source, 0, 0, 320, 180);
  expect(drawImage).toHaveBeenCalledWith(expect.anything(), ...source, 320, 0, 320, 180);
  expect(socket.sentOf("RequestKeyframe")).toEqual([]);
  expect(last(socket.sentOf("Received")).seq).toBe(3);
});

test("the page says how large its tiles are, and says it again when they grow", async () => {
  width_px = 300;
  const { socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  expect(socket.sentOf("WantTier")).toEqual([{ type: "WantTier", tier: 2, ranks: [0, 1] }]);
  await send({ seq: 0, tile: 0, width: 160, height: 90 });
  width_px = 640;
  socket.hear(tiles({ rank: 0 }, { rank: 1 }));
  expect(socket.sentOf("WantTier").map(({ tier }) => tier)).toEqual([2, 1]);
});

test("a small rank beside a large one comes whole, and only what changes is said again", async () => {
  const large = { rank: 0, width: 1280, height: 720 };
  const { socket } = await showGrid(tiles(large, { rank: 1 }));
  const said = () => socket.sentOf("WantTier").map(({ tier, ranks }) => [tier, ranks]);
  const first = [
    [4, [0]],
    [1, [1]],
  ];
  expect(said()).toEqual(first);
  socket.hear(tiles(large, { rank: 1 }, { rank: 2 }));
  expect(said()).toEqual([...first, [1, [2]]]);
});

test("it says so anew with each codec that it asks for", async () => {
  const { socket } = await showGrid(tiles({ rank: 0 }));
  const [{ view } = { view: "" }] = socket.sentOf("Watch");
  socket.hear({ type: "Refusal", view, seq: 0, problem: "no H264", expected: "", fix: "" });
  const order = socket.sent.map(({ type }) => type).filter((type) => type.startsWith("Wa"));
  expect(order).toEqual(["Watch", "WantTier", "Watch", "WantTier"]);
});

test("a keyframe is asked for where a tile needs one, and everywhere after a gap", async () => {
  const { socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  await send({ seq: 0, tile: 0 });
  await send({ seq: 1, tile: 1, is_keyframe: false });
  expect(socket.sentOf("RequestKeyframe").map(({ tile }) => tile)).toEqual([1]);
  await send({ seq: 2, tile: 1 });
  await pass(500);
  await send({ seq: 4, tile: 0, is_keyframe: false });
  await send({ seq: 5, tile: 1, is_keyframe: false });
  expect(socket.sentOf("RequestKeyframe").map(({ tile }) => tile)).toEqual([1, 0, 1]);
});

test("packets that come close together are acknowledged together, and so is what was shown", async () => {
  const { socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  await send({ seq: 0, tile: 0 });
  await pass(100);
  const before = socket.sentOf("Received").length;
  for (let seq = 1; seq <= 200; seq += 1) {
    socket.hear(packet({ seq, tile: seq % 2, width: 320, height: 180 }));
    await pass(1);
  }
  await pass(20);
  const received = socket.sentOf("Received").slice(before);
  expect(received.length).toBeLessThanOrEqual(12);
  expect(received.flatMap(({ arrived_ms }) => arrived_ms)).toHaveLength(200);
  expect(last(received)).toMatchObject({ seq: 200, shown: 200 });
});

test("tiles say who they are and what is wrong with them", async () => {
  vi.setSystemTime(new Date(2026, 0, 2, 12, 3, 20));
  const silent_since = Date.now() - 10_000;
  const { root } = await showGrid(
    tiles(
      { rank: 0 },
      { rank: 1, silent_since },
      { rank: 2, host: "", text: "has not joined yet" },
    ),
  );
  expect(labels(root)).toEqual([
    "rank 0 on node7",
    "rank 1 on node7silent since 12:03:10",
    "rank 2has not joined yet",
  ]);
  expect(root.querySelectorAll("[data-silent]")).toHaveLength(1);
  expect(root.hasAttribute("data-grid")).toBe(true);
});

test("one rank's pictures that cannot be decoded are missed in its tile only", async () => {
  const { root, socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  await send({ seq: 0, tile: 0 });
  const bad = [0, 0, 0, 1, 0x65];
  for (let seq = 1; seq <= 3; seq += 1) await send({ seq, tile: 1, data: bad });
  expect(socket.isClosed).toBe(false);
  const note = "rank 1 on node7this browser does not decode its pictures";
  expect(labels(root)).toEqual(["rank 0 on node7", note]);
  const n_requests = socket.sentOf("RequestKeyframe").length;
  await pass(2000);
  await send({ seq: 4, tile: 1, data: bad });
  await send({ seq: 5, tile: 0, is_keyframe: false });
  expect(last(socket.sentOf("Received"))).toMatchObject({ seq: 5, shown: 5 });
  expect(socket.sentOf("RequestKeyframe")).toHaveLength(n_requests);
});

test("a rank that could not be decoded is tried again when its worker comes back", async () => {
  const { root, socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  await send({ seq: 0, tile: 0 });
  const bad = [0, 0, 0, 1, 0x65];
  for (let seq = 1; seq <= 3; seq += 1) await send({ seq, tile: 1, data: bad });
  expect(labels(root)[1]).toMatch("does not decode");
  socket.hear(tiles({ rank: 0 }, { rank: 1, silent_since: Date.now() }));
  socket.hear(tiles({ rank: 0 }, { rank: 1 }));
  expect(labels(root)[1]).toBe("rank 1 on node7");
  await send({ seq: 4, tile: 1 });
  expect(FakeVideoDecoder.made.at(-1)?.chunks).toHaveLength(1);
});

test("the decoder of a rank that is shown no more ends, and so does its label", async () => {
  const { root, socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  for (let seq = 0; seq < 2; seq += 1) await send({ seq, tile: seq });
  const [stays, ends] = FakeVideoDecoder.made;
  socket.hear(tiles({ rank: 0 }));
  expect([stays?.state, ends?.state]).toEqual(["configured", "closed"]);
  expect(labels(root)).toEqual(["rank 0 on node7"]);
});

test("a codec that no tile decodes any more is given up", async () => {
  const { socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  for (let seq = 0; seq < 2; seq += 1) await send({ seq, tile: seq });
  const bad = [0, 0, 0, 1, 0x65];
  for (let seq = 2; seq < 5; seq += 1) await send({ seq, tile: 0, data: bad });
  expect(socket.isClosed).toBe(false);
  for (let seq = 5; seq < 8; seq += 1) await send({ seq, tile: 1, data: bad });
  expect(socket.isClosed).toBe(true);
});

test("a tile that has had no new frame for five seconds says since when", async () => {
  vi.setSystemTime(new Date(2026, 0, 2, 12, 3, 10));
  const { root, socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  for (let n = 0; n < 8; n += 1) {
    socket.pong();
    // The picture's number is in the lowest five bits.
    await send({ seq: 2 * n, tile: 0, timestamp: 96_000 * n + n, is_keyframe: n === 0 });
    await send({ seq: 2 * n + 1, tile: 1, timestamp: 96_000 * n, is_keyframe: n === 0 });
    await pass(960);
  }
  expect(labels(root)).toEqual(["rank 0 on node7", "rank 1 on node7no new frame since 12:03:10"]);
});

test("what is said on a tile changes without the pictures being drawn again", async () => {
  const { root, socket, send } = await showGrid(tiles({ rank: 0 }, { rank: 1 }));
  await send({ seq: 0, tile: 0 });
  const [screen] = root.querySelectorAll<HTMLCanvasElement>("canvas.gpuview-video");
  const { drawImage } = screen?.getContext("2d") as CanvasRenderingContext2D;
  vi.mocked(drawImage).mockClear();
  socket.hear(tiles({ rank: 0 }, { rank: 1, text: "has closed its view" }));
  expect(labels(root)).toEqual(["rank 0 on node7", "rank 1 on node7has closed its view"]);
  expect(drawImage).not.toHaveBeenCalled();
  socket.hear(tiles({ rank: 0 }, { rank: 2 }));
  expect(drawImage).toHaveBeenCalled();
});

test("a rank that joins later appears, and the pictures that are there move", async () => {
  const { root, socket, send } = await showGrid(tiles({ rank: 1 }));
  await send({ seq: 0, tile: 1 });
  const [screen] = root.querySelectorAll<HTMLCanvasElement>("canvas.gpuview-video");
  const { drawImage } = screen?.getContext("2d") as CanvasRenderingContext2D;
  vi.mocked(drawImage).mockClear();
  socket.hear(tiles({ rank: 0 }, { rank: 1 }));
  expect([screen?.width, screen?.height]).toEqual([640, 180]);
  const moved = [0, 0, 320, 180, 320, 0, 320, 180] as const;
  expect(drawImage).toHaveBeenCalledWith(expect.anything(), ...moved);
  await send({ seq: 1, tile: 0 });
  expect(FakeVideoDecoder.made).toHaveLength(2);
});
