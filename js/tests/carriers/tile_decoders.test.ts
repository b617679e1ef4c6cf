// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";

import type { Tile } from "../../src/messages";
import { parsePacket } from "../../src/carriers/packet";
import { TileDecoders } from "../../src/carriers/tile_decoders";
import { FakeVideoDecoder, useDecoders } from "./fakes";
import { packet, type PacketFields } from "./packets";

const UNREADABLE = [0, 0, 0, 1, 0x65];
const running = useDecoders();

function open() {
  const seen = { unreadable: [] as number[], unable: 0 };
  const decoders = new TileDecoders({
    decode: () => ({ draw: vi.fn(), onShown: vi.fn(), requestKeyframe: vi.fn() }),
    onUnreadable: (tile, stop) => {
      seen.unreadable.push(tile);
      stop.addEventListener("abort", () => seen.unreadable.splice(0));
    },
    onUnable: () => (seen.unable += 1),
    stop: running.end.signal,
  });
  const take = (fields: PacketFields) => {
    const parsed = parsePacket(packet(fields));
    if (parsed !== null) decoders.take(parsed);
  };
  return { decoders, seen, take };
}

const tile = (rank: number, fields: Partial<Tile> = {}): Tile => {
  return { rank, host: "node7", width: 640, height: 360, text: "", ...fields };
};

test("what a rank has decoded counts when it is shown no more", () => {
  const { decoders, take } = open();
  for (let seq = 0; seq < 4; seq += 1) take({ seq, tile: seq % 2, is_keyframe: seq < 2 });
  expect(decoders.decoded).toBe(4);
  decoders.follow([tile(0)]);
  expect(FakeVideoDecoder.made.map(({ state }) => state)).toEqual(["configured", "closed"]);
  expect(decoders.decoded).toBe(4);
  take({ seq: 4, tile: 1 }); // It is back.
  expect(decoders.decoded).toBe(5);
  expect(FakeVideoDecoder.made).toHaveLength(3);
});

test("a codec that a rank has played, which is shown no more, is not given up for another", () => {
  const { decoders, seen, take } = open();
  take({ seq: 0, tile: 0 });
  decoders.follow([tile(1)]);
  for (let seq = 1; seq < 4; seq += 1) take({ seq, tile: 1, data: UNREADABLE });
  expect(seen).toEqual({ unreadable: [1], unable: 0 });
});

test("a rank that was given up stays so while its worker is there", () => {
  const { decoders, seen, take } = open();
  take({ seq: 0, tile: 0 });
  for (let seq = 1; seq < 4; seq += 1) take({ seq, tile: 1, data: UNREADABLE });
  expect(seen.unreadable).toEqual([1]);
  decoders.follow([tile(0), tile(1)]);
  take({ seq: 4, tile: 1 });
  expect(decoders.decoded).toBe(1);
  decoders.follow([tile(0), tile(1, { silent_since: 1 })]);
  expect(seen.unreadable).toEqual([]);
  take({ seq: 5, tile: 1 });
  expect(decoders.decoded).toBe(2);
  expect(seen.unable).toBe(0);
});
