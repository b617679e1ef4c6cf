// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import { decodeOnto } from "../src/image";
import { Line } from "../src/interaction/line";
import { Pieces } from "../src/interaction/pieces";
import { ageText, Replay } from "../src/interaction/replay";
import type { FromView, GetReplay, Replay as Answer } from "../src/messages";
import { FakeModel, last } from "./fakes";

const [OLDEST, NEWEST] = [1_000_000, 1_010_000];
const JPEG = "SlBFRw==";

beforeEach(() => {
  vi.useFakeTimers();
  document.body.replaceChildren();
  vi.stubGlobal("createImageBitmap", async () => ({ width: 64, height: 48 }));
});

function paused() {
  const [asked, shown, stop] = [
    [] as GetReplay[],
    [] as HTMLCanvasElement[],
    new AbortController(),
  ];
  const say = (message: FromView) => message.type === "GetReplay" && asked.push(message) > 0;
  const line = new Line({ view: "v", model: new FakeModel(), ways: [say], stop: stop.signal });
  const [onLive, onFocusLost] = [vi.fn(), vi.fn()];
  const newest: boolean[] = [];
  const onPicture = (picture: HTMLCanvasElement, is_newest: boolean) => {
    shown.push(picture);
    newest.push(is_newest);
  };
  const replay = new Replay({ line, onPicture, onLive, onFocusLost, stop: stop.signal });
  document.body.append(replay.bar);
  const slider = replay.bar.querySelector("input") as HTMLInputElement;
  const answer = async (fields: Partial<Answer>) => {
    line.hear({
      type: "Replay",
      view: "v",
      seq: last(asked).seq,
      problem: "",
      time_ms: NEWEST,
      oldest_ms: OLDEST,
      newest_ms: NEWEST,
      nbytes: 0,
      offset: 0,
      data: "",
      ...fields,
    });
    await vi.advanceTimersByTimeAsync(50);
  };
  /** Answers with a picture of that time. */
  const show = (time_ms: number) => answer({ time_ms, nbytes: 4, data: JPEG });
  return {
    replay,
    asked,
    shown,
    newest,
    slider,
    onLive,
    onFocusLost,
    answer,
    show,
    /** Steps can be made, from the newest picture that was kept. */
    begin: async () => {
      replay.follow(true, true);
      await vi.advanceTimersByTimeAsync(0);
      await answer({});
      await show(NEWEST);
      [asked.length, shown.length, newest.length] = [0, 0, 0];
    },
    press: async (key: string) => {
      slider.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      await vi.advanceTimersByTimeAsync(50);
    },
    drag: async (at_s: number) => {
      slider.value = String(at_s);
      slider.dispatchEvent(new Event("input"));
      await vi.advanceTimersByTimeAsync(50);
    },
    age: () => replay.bar.querySelector(".gpuview-replay-age")?.textContent,
  };
}

describe("a picture that is paused", () => {
  test("has a bar over all that is kept, and becomes the newest of it", async () => {
    const { replay, asked, slider, answer, show, shown, newest, age } = paused();
    expect(replay.bar.hidden).toBe(true);
    replay.follow(true, true);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([{ type: "GetReplay", view: "v", seq: last(asked).seq, step: 0 }]);
    await answer({});
    expect([replay.bar.hidden, slider.min, slider.value]).toEqual([false, "-10", "0"]);
    expect(last(asked)).toMatchObject({ time_ms: NEWEST, step: 0 });
    await show(NEWEST);
    expect([age(), slider.ariaValueText]).toEqual(["at the pause", "at the pause"]);
    expect([shown.length, newest]).toEqual([1, [true]]);
  });

  test("is asked about until there is an answer", async () => {
    const { replay, asked, answer, slider } = paused();
    replay.follow(true, true);
    await vi.advanceTimersByTimeAsync(7000);
    expect(asked.map(({ seq, ...question }) => question)).toEqual(
      Array(3).fill({ type: "GetReplay", view: "v", step: 0 }),
    );
    await answer({});
    expect(slider.min).toBe("-10");
    replay.follow(false, true);
    const n = asked.length;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toHaveLength(n);
  });

  test.each([{ oldest_ms: NEWEST }, { oldest_ms: 0, newest_ms: 0, time_ms: 0 }])(
    "has none where nothing is kept: %o",
    async (kept) => {
      const { replay, answer } = paused();
      replay.follow(true, true);
      await vi.advanceTimersByTimeAsync(0);
      await answer(kept);
      expect(replay.bar.hidden).toBe(true);
    },
  );

  test("shows the picture of the time that the handle is dragged to, and its own age", async () => {
    const { asked, shown, newest, drag, begin, show, age, slider } = paused();
    await begin();
    await drag(-4);
    expect(last(asked)).toMatchObject({ time_ms: NEWEST - 4000, step: 0 });
    await show(NEWEST - 4200);
    expect([last(shown).width, last(shown).height, newest]).toEqual([64, 48, [false]]);
    expect([age(), slider.ariaValueText]).toEqual(Array(2).fill("4.2 s before the pause"));
    expect(slider.valueAsNumber).toBe(-4); // Where the pointer holds it.
  });

  test("goes by single pictures with the arrow keys, and the handle follows", async () => {
    const { asked, press, begin, show, slider, age } = paused();
    await begin();
    await press("ArrowLeft");
    expect(last(asked)).toMatchObject({ time_ms: NEWEST, step: -1 });
    await show(NEWEST - 40);
    expect([slider.valueAsNumber, age()]).toEqual([-0.04, "0.04 s before the pause"]);
    await press("ArrowLeft");
    expect(last(asked)).toMatchObject({ time_ms: NEWEST - 40, step: -1 });
    await show(NEWEST - 80);
    await press("ArrowUp");
    expect(last(asked)).toMatchObject({ time_ms: NEWEST - 80, step: 1 });
  });

  test("loses no step of who presses faster than pictures come", async () => {
    const { asked, press, begin, show } = paused();
    await begin();
    for (const key of ["ArrowLeft", "ArrowLeft", "ArrowLeft"]) await press(key);
    expect(asked).toHaveLength(1);
    await show(NEWEST - 40);
    expect(last(asked)).toMatchObject({ time_ms: NEWEST, step: -3 });
    await show(NEWEST - 120);
    await press("ArrowRight");
    expect(last(asked)).toMatchObject({ time_ms: NEWEST - 120, step: 1 });
  });

  test("says why a picture cannot be shown, and shows the next one", async () => {
    const { drag, begin, show, answer, shown, age } = paused();
    await begin();
    await drag(-4);
    await answer({ problem: "this picture cannot be decoded any more" });
    expect([shown.length, age()]).toEqual([0, "this picture cannot be decoded any more"]);
    await drag(-3);
    await show(NEWEST - 3000);
    expect([shown.length, age()]).toEqual([1, "3.0 s before the pause"]);
  });

  test("can be stepped back in for as far as pictures are still kept", async () => {
    const { replay, answer, begin, drag, slider, shown, age } = paused();
    await begin();
    await drag(-9);
    await answer({ time_ms: NEWEST - 5000, oldest_ms: NEWEST - 5000, nbytes: 4, data: JPEG });
    expect([slider.min, age()]).toEqual(["-5", "5.0 s before the pause"]);
    await drag(-4);
    await answer({ time_ms: 0, oldest_ms: 0, newest_ms: 0 });
    expect([age(), slider.ariaValueText]).toEqual(Array(2).fill("no longer kept"));
    expect([replay.bar.hidden, shown.length]).toEqual([false, 1]);
  });

  test("says that the connection was lost, and lets a person go on", async () => {
    const { replay, begin, drag, show, slider, shown, age } = paused();
    await begin();
    await drag(-4);
    slider.focus();
    replay.follow(true, false);
    await show(NEWEST - 4000);
    expect([replay.bar.hidden, slider.hidden, shown.length]).toEqual([false, true, 0]);
    expect(age()).toBe("the connection was lost; Live shows what is new");
    expect(document.activeElement).toBe(replay.bar.querySelector("button"));
    replay.follow(false, true);
    expect(replay.bar.hidden).toBe(true);
    await begin();
    expect([replay.bar.hidden, slider.hidden, age()]).toEqual([false, false, "at the pause"]);
  });

  test("has no bar without a connection", async () => {
    const { replay, asked } = paused();
    replay.follow(true, false);
    await vi.advanceTimersByTimeAsync(0);
    expect([replay.bar.hidden, asked]).toEqual([true, []]);
  });

  test("goes on with Live, and what comes later is for nothing", async () => {
    const { replay, drag, begin, show, shown, onLive, onFocusLost } = paused();
    await begin();
    await drag(-4);
    const live = replay.bar.querySelector("button");
    live?.focus();
    live?.click();
    expect(onLive).toHaveBeenCalledOnce();
    replay.follow(false, true);
    expect(onFocusLost).toHaveBeenCalledOnce();
    await show(NEWEST - 4000);
    expect([replay.bar.hidden, shown.length]).toEqual([true, 0]);
  });
});

test("an age has as many digits as are of use", () => {
  const ages = [-3, 0, 33, 999, 1000, 12_345].map(ageText);
  const before = (text: string) => `${text} s before the pause`;
  expect(ages).toEqual([
    "at the pause",
    "at the pause",
    ...["0.03", "1.00", "1.0", "12.3"].map(before),
  ]);
});

describe("an image file", () => {
  const [close, put] = [vi.fn(), vi.fn()];

  async function decode(width: number, height: number, is_wanted = true) {
    vi.stubGlobal("createImageBitmap", async () => ({ width, height, close }));
    vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockImplementation(
      (name) => (name === "bitmaprenderer" ? { transferFromImageBitmap: put } : null) as never,
    );
    const canvas = document.createElement("canvas");
    const sides = [canvas.width, canvas.height];
    const drawn = await decodeOnto(canvas, new Blob(), () => is_wanted);
    return { canvas, drawn, has_kept_its_size: `${[canvas.width, canvas.height]}` === `${sides}` };
  }

  beforeEach(() => {
    vi.clearAllMocks();
    return () => vi.restoreAllMocks();
  });

  test("gives its pixels to a canvas of its size", async () => {
    const { canvas, drawn } = await decode(64, 48);
    expect(drawn).toBe(canvas);
    expect([canvas.width, canvas.height]).toEqual([64, 48]);
    expect(put).toHaveBeenCalledOnce();
  });

  test.each([
    ["too large", 8192, 8192, true],
    ["not wanted any more", 64, 48, false],
  ])("that is %s is let go, and the canvas stays as it was", async (_name, ...of) => {
    const { drawn, has_kept_its_size } = await decode(...of);
    expect([drawn, has_kept_its_size]).toEqual([null, true]);
    expect(close).toHaveBeenCalledOnce();
    expect(put).not.toHaveBeenCalled();
  });
});

describe("an image in pieces", () => {
  const piece = (nbytes: number, offset: number, text: string) => ({
    nbytes,
    offset,
    data: btoa(text),
  });

  test("is whole with the last of them", () => {
    const pieces = new Pieces();
    expect(pieces.take(piece(5, 0, "abc"))).toBe("more");
    expect(pieces.take(piece(5, 3, "de"))).toEqual(new TextEncoder().encode("abcde"));
  });

  test("is none if one is missing, too long or empty, and the next one is whole", () => {
    const pieces = new Pieces();
    expect(pieces.take(piece(0, 0, ""))).toBeNull();
    expect(pieces.take(piece(5, 0, "ab"))).toBe("more");
    expect(pieces.take(piece(5, 3, "de"))).toBeNull();
    expect(pieces.take(piece(2, 0, "abc"))).toBeNull();
    expect(pieces.take(piece(2, 0, "ab"))).toEqual(new TextEncoder().encode("ab"));
  });
});
