import { expect, test } from "vitest";

import { codecString, parsePacket, type Packet } from "../../src/carriers/packet";
import { H264_KEY, packet } from "./packets";

const BASE: Packet = {
  codec: "H264",
  is_keyframe: true,
  seq: 0,
  timestamp: 0,
  width: 640,
  height: 360,
  tile: 0,
  data: new Uint8Array(H264_KEY),
};

test("a packet is read as the media process wrote it, wherever it lies in a buffer", () => {
  const size = { width: 1280, height: 720 };
  const fields = { seq: 2 ** 32 - 1, timestamp: 2 ** 31 + 5, ...size, tile: 2 ** 31 };
  const message = packet({ ...fields, codec: 1, is_keyframe: false, data: [7, 8] });
  const whole = new Uint8Array(message.length + 3);
  whole.set(message, 3);
  const expected = { ...fields, codec: "VP8", is_keyframe: false, data: new Uint8Array([7, 8]) };
  expect(parsePacket(whole.subarray(3))).toEqual(expected);
});

test("what is no packet is not read", () => {
  const whole = packet();
  expect(parsePacket(whole.subarray(0, 20))).toBeNull(); // no content
  expect(parsePacket(new Uint8Array(0))).toBeNull();
  expect(parsePacket(new Uint8Array([2, ...whole.subarray(1)]))).toBeNull();
  expect(parsePacket(packet({ codec: 3 }))).toBeNull();
  expect(parsePacket(packet({ width: 0 }))).toBeNull();
});

test("each JPEG stands alone", () => {
  expect(parsePacket(packet({ codec: 2, is_keyframe: false, data: [0xff] }))?.is_keyframe).toBe(
    true,
  );
});

test("the decoder is asked for the profile and level of the bitstream itself", () => {
  expect(codecString(BASE)).toBe("avc1.64001f");
  const baseline = new Uint8Array([0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x67, 0x42, 0xe0, 0x0a, 0x89]);
  expect(codecString({ ...BASE, data: baseline })).toBe("avc1.42e00a");
});

test("a bitstream without parameters has no codec string", () => {
  expect(
    codecString({ ...BASE, data: new Uint8Array([0, 0, 1, 0x65, 0x88, 0x84, 0, 0x10]) }),
  ).toBeNull();
  expect(codecString({ ...BASE, data: new Uint8Array([0, 0, 1, 0x67, 0x64]) })).toBeNull();
});

test("VP8 has one name, and JPEG is no video", () => {
  expect(codecString({ ...BASE, codec: "VP8" })).toBe("vp8");
  expect(codecString({ ...BASE, codec: "JPEG" })).toBeNull();
});
