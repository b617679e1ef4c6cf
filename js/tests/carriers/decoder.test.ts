// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";

import { usableCodecs, PacketDecoder } from "../../src/carriers/decoder";
import { parsePacket } from "../../src/carriers/packet";
import { last } from "../fakes";
import { FakeVideoDecoder, useDecoders } from "./fakes";
import { packet, type PacketFields } from "./packets";

const running = useDecoders();

function open() {
  const seen = { drawn: [] as number[], shown: [] as number[], requests: 0, unable: 0 };
  const decoder = new PacketDecoder({
    draw: (_picture, { seq }) => seen.drawn.push(seq),
    onShown: ({ seq }) => seen.shown.push(seq),
    requestKeyframe: () => (seen.requests += 1),
    onUnable: () => (seen.unable += 1),
    stop: running.end.signal,
  });
  const take = (fields: PacketFields) => {
    const parsed = parsePacket(packet(fields));
    if (parsed !== null) decoder.take(parsed);
    return vi.advanceTimersByTimeAsync(20);
  };
  return { decoder, seen, take };
}

describe("what a browser decodes", () => {
  test("is H.264 and images, the better one first", async () => {
    expect(await usableCodecs()).toEqual(["H264", "JPEG"]);
  });

  test("is VP8 in one without H.264", async () => {
    const asked = vi.spyOn(FakeVideoDecoder, "isConfigSupported");
    asked.mockImplementation(async ({ codec }) => ({ supported: codec === "vp8" }));
    expect(await usableCodecs()).toEqual(["VP8", "JPEG"]);
  });

  test("is images where it does not say", async () => {
    vi.spyOn(FakeVideoDecoder, "isConfigSupported").mockRejectedValue(new TypeError("what?"));
    expect(await usableCodecs()).toEqual(["JPEG"]);
  });

  test("is images on a page that may not use WebCodecs", async () => {
    Reflect.deleteProperty(globalThis, "VideoDecoder");
    expect(await usableCodecs()).toEqual(["JPEG"]);
  });
});

describe("video", () => {
  test("is decoded from the first keyframe on, as its own parameters say, without delay", async () => {
    const { decoder, seen, take } = open();
    await take({ seq: 6, is_keyframe: false });
    expect(seen).toMatchObject({ shown: [], requests: 1 });
    await take({ seq: 7 });
    await take({ seq: 8, is_keyframe: false });
    expect(seen.shown).toEqual([7, 8]);
    const [video] = FakeVideoDecoder.made;
    expect(video?.configs).toEqual([{ codec: "avc1.64001f", optimizeForLatency: true }]);
    expect(video?.chunks.map(({ type }) => type)).toEqual(["key", "delta"]);
    expect(video?.chunks.every(({ duration }) => duration > 0)).toBe(true);
    expect(decoder.decoded).toBe(2);
    expect(FakeVideoDecoder.n_open).toBe(0);
  });

  test("of which a packet is missing goes on at a keyframe, which is asked for", async () => {
    const { decoder, seen, take } = open();
    await take({ seq: 0 });
    decoder.lose();
    await take({ seq: 2, is_keyframe: false });
    expect(seen).toMatchObject({ shown: [0], requests: 1 });
    await take({ seq: 3 });
    expect(seen.shown).toEqual([0, 3]);
  });

  test("of which several frames come before a painting is shown once, the newest", async () => {
    const { decoder, seen, take } = open();
    void take({ seq: 0 });
    void take({ seq: 1, is_keyframe: false });
    await take({ seq: 2, is_keyframe: false });
    expect(seen.shown).toEqual([2]);
    expect([decoder.decoded, decoder.dropped]).toEqual([3, 2]);
    expect(FakeVideoDecoder.n_open).toBe(0);
  });

  test("that a decoder holds comes out after a second, and a keyframe is asked for", async () => {
    FakeVideoDecoder.holds = true;
    const { seen, take } = open();
    await take({ seq: 0 });
    await vi.advanceTimersByTimeAsync(900);
    expect(seen).toMatchObject({ shown: [], requests: 0 });
    await vi.advanceTimersByTimeAsync(400);
    expect(seen).toMatchObject({ shown: [0], requests: 1 });
    expect(FakeVideoDecoder.made[0]?.state).toBe("closed");
    FakeVideoDecoder.holds = false;
    await take({ seq: 1, is_keyframe: false });
    await take({ seq: 2 });
    expect(seen.shown).toEqual([0, 2]);
    expect(FakeVideoDecoder.made).toHaveLength(2);
  });

  test("that stands still is no stall", async () => {
    const { seen, take } = open();
    await take({ seq: 0 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen).toMatchObject({ shown: [0], requests: 0 });
    expect(FakeVideoDecoder.made).toHaveLength(1);
  });

  test("goes on at a keyframe after an error of the decoder", async () => {
    const { seen, take } = open();
    await take({ seq: 0 });
    FakeVideoDecoder.made[0]?.fail();
    expect(seen.requests).toBe(1);
    await take({ seq: 1 });
    expect(seen.shown).toEqual([0, 1]);
    expect(seen.unable).toBe(0);
  });

  test("that the browser does not take three times in a row is not for it", async () => {
    FakeVideoDecoder.rejects = "avc1";
    const { seen, take } = open();
    await take({ seq: 0 });
    await take({ seq: 1 });
    expect(seen.unable).toBe(0);
    await take({ seq: 2 });
    expect(seen.unable).toBe(1);
  });

  test("waits for the decoder no longer than half a second", async () => {
    FakeVideoDecoder.holds = true;
    const { seen, take } = open();
    for (let seq = 0; seq < 16; seq += 1) void take({ seq, is_keyframe: seq === 0 });
    expect(last(FakeVideoDecoder.made).chunks).toHaveLength(15);
    expect(seen.requests).toBe(1);
  });

  test("ends with the connection", async () => {
    const { seen, take } = open();
    await take({ seq: 0 });
    running.end.abort();
    await take({ seq: 1 });
    expect(seen.shown).toEqual([0]);
    expect(FakeVideoDecoder.made[0]?.state).toBe("closed");
  });
});

describe("JPEG", () => {
  const JPEG = { codec: 2, data: [0xff, 0xd8] };

  test("is decoded by the browser's images, each alone, and the newest stays", async () => {
    const decoded: (() => void)[] = [];
    const bitmap = { close: vi.fn() };
    const decode = () => new Promise((give) => decoded.push(() => give(bitmap)));
    vi.stubGlobal("createImageBitmap", decode);
    const { seen, take } = open();
    await take({ ...JPEG, seq: 0 });
    await take({ ...JPEG, seq: 5 });
    await take({ ...JPEG, seq: 6 });
    await take({ ...JPEG, seq: 7 }); // Three are being decoded.
    expect(decoded).toHaveLength(3);
    decoded[1]?.();
    await vi.advanceTimersByTimeAsync(20);
    decoded[0]?.();
    await vi.advanceTimersByTimeAsync(20);
    expect(seen.shown).toEqual([5]);
    expect(bitmap.close).toHaveBeenCalledTimes(2);
    expect(FakeVideoDecoder.made).toEqual([]);
  });

  test("that cannot be read three times in a row is given up", async () => {
    vi.stubGlobal("createImageBitmap", () => Promise.reject(new Error("broken")));
    const { seen, take } = open();
    for (const seq of [0, 1, 2]) await take({ ...JPEG, seq });
    expect(seen.unable).toBe(1);
  });
});
