import { expect, test } from "vitest";

import { Gate } from "../../src/carriers/keyframe_gate";
import { parsePacket, type Packet } from "../../src/carriers/packet";
import { packet } from "./packets";

function made(seq: number, is_keyframe = false): Packet {
  const parsed = parsePacket(packet({ seq, is_keyframe }));
  if (parsed === null) throw new Error("no packet");
  return parsed;
}

const PASSES = { is_decodable: true, is_request_due: false };
const WAITS = { is_decodable: false, is_request_due: false };
const ASKS = { is_decodable: false, is_request_due: true };

test("decoding begins at a keyframe, which is asked for", () => {
  const gate = new Gate();
  expect(gate.take(made(4), false, 0)).toEqual(ASKS);
  expect(gate.take(made(5, true), false, 10)).toEqual(PASSES);
  expect(gate.take(made(6), false, 20)).toEqual(PASSES);
});

test("after a gap, everything up to the next keyframe is left out", () => {
  const gate = new Gate();
  gate.take(made(0, true), false, 0);
  gate.close();
  expect(gate.take(made(2), false, 0)).toEqual(ASKS);
  expect(gate.take(made(3), false, 10)).toEqual(WAITS);
  expect(gate.take(made(4, true), false, 20)).toEqual(PASSES);
});

test("a keyframe is asked for twice a second at most, also if it does not come", () => {
  const gate = new Gate();
  expect(gate.take(made(1), false, 0)).toEqual(ASKS);
  expect(gate.take(made(2), false, 499)).toEqual(WAITS);
  expect(gate.take(made(3), false, 500)).toEqual(ASKS);
  expect(gate.request(999)).toBe(false);
});

test("a decoder that is full gets nothing, not even a keyframe", () => {
  const gate = new Gate();
  gate.take(made(0, true), false, 0);
  expect(gate.take(made(1), true, 0)).toEqual(ASKS);
  expect(gate.take(made(2, true), true, 10)).toEqual(WAITS);
  expect(gate.take(made(3), false, 20)).toEqual(WAITS);
});
