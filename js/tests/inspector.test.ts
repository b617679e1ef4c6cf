// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import { element } from "../src/dom";
import { Asker } from "../src/interaction/asker";
import { Inspector } from "../src/interaction/inspector";
import { Line } from "../src/interaction/line";
import { contained, moved, placeAt, relative, WHOLE, zoomed } from "../src/interaction/viewport";
import type { Element as Found, FromView, Statistics } from "../src/messages";
import { FakeModel, last } from "./fakes";

const AREA = { left: 100, top: 50, width: 400, height: 200 };

beforeEach(() => {
  vi.useFakeTimers();
  document.body.replaceChildren();
});

describe("the part that is seen", () => {
  test("keeps what is below the pointer while it is zoomed", () => {
    const at = placeAt(WHOLE, AREA, 200, 200);
    const part = zoomed(WHOLE, 8, at);
    expect(part).toEqual({ x: 0.21875, y: 0.65625, width: 0.125, height: 0.125 });
    expect(placeAt(part, AREA, 200, 200)).toEqual(at);
  });

  test("never leaves the picture, and is neither larger nor endlessly small", () => {
    expect(moved(zoomed(WHOLE, 4, { x: 0.5, y: 0.5 }), -9, 9)).toMatchObject({ x: 0, y: 0.75 });
    expect(zoomed(WHOLE, 0.1, { x: 0.3, y: 0.3 })).toEqual(WHOLE);
    expect(zoomed(WHOLE, 1e9, { x: 0.3, y: 0.3 }).width).toBe(1 / 2048);
  });

  test("is found in a box of another shape", () => {
    expect(contained({ left: 0, top: 0, width: 300, height: 300 }, 100, 50)).toEqual({
      left: 0,
      top: 75,
      width: 300,
      height: 150,
    });
    const half = { x: 0.5, y: 0.5, width: 0.5, height: 0.5 };
    expect(relative({ x: 0.75, y: 0.5, width: 0.25, height: 0.5 }, half)).toEqual({
      x: 0.5,
      y: 0,
      width: 0.5,
      height: 1,
    });
  });
});

describe("questions", () => {
  function asker() {
    const [asked, stop] = [[] as [string, number][], new AbortController()];
    const ask = (question: string, seq: number) => asked.push([question, seq]);
    return { asked, stop, asker: new Asker<string>({ ask, gap_ms: 50, stop: stop.signal }) };
  }

  test("one waits for an answer, and only the newest of the others follows", async () => {
    const { asker: one, asked } = asker();
    for (const question of ["a", "b", "c"]) one.want(question);
    await vi.advanceTimersByTimeAsync(0);
    one.want("d");
    one.want("e");
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toEqual([["c", 1]]);
    expect(one.answered(1)).toBe("c");
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual([
      ["c", 1],
      ["e", 2],
    ]);
  });

  test("are not asked more often than twenty times a second", async () => {
    const { asker: one, asked } = asker();
    for (let at_ms = 0; at_ms < 1000; at_ms += 5) {
      one.want(String(at_ms));
      await vi.advanceTimersByTimeAsync(5);
      one.answered(asked.length);
    }
    expect(asked.length).toBeLessThanOrEqual(21);
    expect(asked.length).toBeGreaterThan(10);
  });

  test("are asked again where no answer comes, and late answers are for nothing", async () => {
    const { asker: one, asked } = asker();
    one.want("a");
    await vi.advanceTimersByTimeAsync(0);
    one.want("b");
    await vi.advanceTimersByTimeAsync(3010);
    expect(asked).toHaveLength(2);
    expect(one.answered(1)).toBeNull();
    one.cancel();
    expect(one.answered(2)).toBeNull();
  });

  test("have time for as long as pieces of the answer come", async () => {
    const { asker: one, asked } = asker();
    one.want("a");
    await vi.advanceTimersByTimeAsync(0);
    for (let piece = 0; piece < 4; piece += 1) {
      await vi.advanceTimersByTimeAsync(2000);
      expect(one.hear(1)).toBe(true);
    }
    expect(one.answered(1)).toBe("a");
    expect(one.hear(1)).toBe(false);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toHaveLength(1);
  });
});

const FOUND: Found = {
  type: "Element",
  view: "v1",
  seq: 1,
  is_frozen: false,
  problem: "",
  panel: "<b>x</b>",
  index: "[3, :, 12, 40]",
  row: 12,
  column: 40,
  values: ["0.5", "nan", "-inf"],
  dtype: "bfloat16",
  low: "-1",
  high: "1",
  place: { x: 0.5, y: 0.5, width: 0.01, height: 0.01 },
};

const STATISTICS: Statistics = {
  ...FOUND,
  type: "Statistics",
  n: 100,
  n_nan: 3,
  n_inf: 2,
  least: "0",
  greatest: "9",
  mean: "4.5",
  std: "2.9",
  counts: [1, 2, 4],
};

describe("the inspector", () => {
  function inspect() {
    const [model, stop] = [new FakeModel(), new AbortController()];
    const said: FromView[] = [];
    const ways = [(message: FromView) => said.push(message) > 0];
    const line = new Line({ view: "v1", model, ways, stop: stop.signal });
    const stage = element("div", "gpuview-stage");
    document.body.append(stage);
    const inspector = new Inspector({ stage, line, stop: stop.signal });
    document.body.append(inspector.button, inspector.strip);
    inspector.resize({ width: 400, height: 200 });
    vi.spyOn(HTMLElement.prototype, "getBoundingClientRect").mockReturnValue(
      new DOMRect(100, 50, 400, 200),
    );
    const layer = () => stage.querySelector<HTMLElement>(".gpuview-layer");
    const at = (name: string, x: number, y: number, more = {}) =>
      layer()?.dispatchEvent(
        new PointerEvent(name, { clientX: x, clientY: y, bubbles: true, pointerId: 1, ...more }),
      );
    const key = (name: string) => {
      const event = new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true });
      layer()?.dispatchEvent(event);
      return event;
    };
    const text = () => stage.querySelector(".gpuview-readout")?.textContent;
    const tick = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
    const kinds = () => said.map(({ type }) => type);
    return { stage, line, inspector, layer, at, key, said, kinds, text, tick, stop };
  }

  test("is not there, and says nothing, until it is switched on", async () => {
    const { inspector, layer, kinds, tick, stage } = inspect();
    stage.dispatchEvent(new PointerEvent("pointermove", { clientX: 200, clientY: 100 }));
    await tick(5000);
    expect([layer(), inspector.strip.hidden, kinds()]).toEqual([null, true, []]);
    expect(inspector.button.ariaPressed).toBe("false");
  });

  test("shows what is below the pointer, as text", async () => {
    const { inspector, at, said, line, text, tick, stage } = inspect();
    inspector.button.click();
    at("pointermove", 300, 150);
    await tick();
    expect(last(said)).toMatchObject({ type: "GetElement", seq: 1, x: 0.5, y: 0.5, view: "v1" });
    line.hear(FOUND);
    expect(text()).toContain("0.5  nan  -inf");
    expect(text()).toContain("[3, :, 12, 40] · bfloat16");
    expect(text()).toContain("<b>x</b> · shown from -1 to 1");
    expect(stage.querySelector("b")).toBeNull();
  });

  test("asks again while the pointer rests, and nothing once it has left", async () => {
    const { inspector, at, kinds, line, text, tick } = inspect();
    inspector.button.click();
    at("pointermove", 300, 150);
    await tick();
    line.hear(FOUND);
    await tick(300);
    expect(kinds()).toEqual(["GetElement", "GetElement"]);
    at("pointerleave", 0, 0);
    line.hear({ ...FOUND, seq: 2, values: ["late"] });
    await tick(10_000);
    expect(kinds()).toHaveLength(2);
    expect(text()).not.toContain("late");
  });

  test("zooms at the pointer, and asks for that part; a page that scrolls otherwise still does", async () => {
    const { inspector, layer, said, stage, tick, key } = inspect();
    const scroll = () => new WheelEvent("wheel", { deltaY: -300, bubbles: true, cancelable: true });
    const before = scroll();
    stage.dispatchEvent(before);
    expect(before.defaultPrevented).toBe(false);
    inspector.button.click();
    const wheel = scroll();
    layer()?.dispatchEvent(wheel);
    expect(wheel.defaultPrevented).toBe(true);
    expect(stage.classList.contains("gpuview-zoomed")).toBe(true);
    await tick();
    expect(said.find(({ type }) => type === "GetRegion")).toMatchObject({
      pixel_width: 400,
      pixel_height: 200,
    });
    key("0");
    expect(stage.classList.contains("gpuview-zoomed")).toBe(false);
  });

  test("takes only keys of its own", () => {
    const { inspector, key, layer, stage } = inspect();
    inspector.button.click();
    for (const name of ["+", "-", "0", "ArrowLeft", "Escape"]) {
      if (layer() === null) inspector.button.click();
      expect(key(name).defaultPrevented).toBe(true);
    }
    expect(layer()).toBeNull();
    inspector.button.click();
    for (const name of ["a", "Enter", "Tab", "j"]) expect(key(name).defaultPrevented).toBe(false);
    for (let at = 0; at < 4; at += 1) key("+");
    expect(stage.classList.contains("gpuview-pixelated")).toBe(true);
  });

  test("a box is dragged with Shift, and its statistics stand below the picture", async () => {
    const { inspector, at, said, line, tick } = inspect();
    inspector.button.click();
    HTMLElement.prototype.setPointerCapture = () => undefined;
    at("pointerdown", 150, 75, { shiftKey: true });
    at("pointermove", 300, 150);
    at("pointerup", 300, 150);
    await tick();
    const box = { type: "GetStatistics", x: 0.125, y: 0.125, to_x: 0.5, to_y: 0.5 };
    expect(last(said)).toMatchObject(box);
    line.hear(STATISTICS);
    const found = inspector.strip.querySelector(".gpuview-found");
    expect(found?.textContent).toContain("mean4.5");
    expect(found?.textContent).toContain("NaN3");
    expect(found?.querySelectorAll("rect")).toHaveLength(3);
    expect(found?.querySelector("svg")?.getAttribute("aria-label")).toBe("Histogram from 0 to 9");
  });

  test("two fingers zoom at their middle, and one moves what is seen", async () => {
    const { inspector, at, said, tick, stage } = inspect();
    inspector.button.click();
    HTMLElement.prototype.setPointerCapture = () => undefined;
    const finger = { pointerType: "touch" };
    at("pointerdown", 250, 150, finger);
    at("pointerdown", 350, 150, { ...finger, pointerId: 2 });
    at("pointermove", 200, 150, finger);
    at("pointermove", 400, 150, { ...finger, pointerId: 2 });
    await tick();
    const region = () => said.findLast((message) => message.type === "GetRegion");
    expect(region()).toMatchObject({ x: 0.25, y: 0.25, width: 0.5, height: 0.5 });
    at("pointerup", 400, 150, { ...finger, pointerId: 2 });
    at("pointermove", 100, 150, finger);
    at("pointerup", 100, 150, finger);
    await tick(5000);
    expect(region()).toMatchObject({ x: 0.375, y: 0.25, width: 0.5, height: 0.5 });
    expect(stage.classList.contains("gpuview-zoomed")).toBe(true);
    expect(said.some(({ type }) => type === "GetElement")).toBe(false);
  });

  test("a finger's tap reads the value there, which stays when the finger is lifted", async () => {
    const { inspector, at, said, line, text, tick } = inspect();
    inspector.button.click();
    HTMLElement.prototype.setPointerCapture = () => undefined;
    const finger = { pointerType: "touch" };
    for (const name of ["pointerdown", "pointerup", "pointerleave"]) at(name, 300, 150, finger);
    await tick();
    const asked = said.findLast((message) => message.type === "GetElement");
    expect(asked).toMatchObject({ x: 0.5, y: 0.5 });
    line.hear({ ...FOUND, seq: asked?.seq ?? 0 });
    expect(text()).toContain("0.5  nan  -inf");
  });

  test.each(["pointercancel", "lostpointercapture"])("a finger is let go at %s", async (name) => {
    const { inspector, at, kinds, tick } = inspect();
    inspector.button.click();
    HTMLElement.prototype.setPointerCapture = () => undefined;
    const finger = { pointerType: "touch" };
    at("pointerdown", 300, 150, finger);
    at(name, 300, 150, finger);
    await tick(1000);
    expect(kinds()).toEqual([]); // It was no tap.
    at("pointermove", 200, 100);
    await tick();
    expect(kinds()).toEqual(["GetElement"]); // Nothing is dragged.
  });

  test("what is held when the inspector is switched off is let go", async () => {
    const { inspector, at, key, kinds, layer, tick } = inspect();
    inspector.button.click();
    HTMLElement.prototype.setPointerCapture = () => undefined;
    at("pointerdown", 300, 150, { pointerType: "touch" });
    key("Escape");
    expect(layer()).toBeNull();
    inspector.button.click();
    expect(layer()?.classList.contains("gpuview-dragged")).toBe(false);
    at("pointermove", 200, 100);
    await tick();
    expect(kinds()).toEqual(["GetElement"]);
  });

  test.each(["b", "B"])("the key %s asks for the statistics of what is seen", async (name) => {
    const { inspector, said, key, tick } = inspect();
    inspector.button.click();
    for (let at = 0; at < 2; at += 1) key("+");
    expect(key(name).defaultPrevented).toBe(true);
    await tick();
    const box = said.findLast((message) => message.type === "GetStatistics");
    expect(box?.x).toBeCloseTo(5 / 18);
    expect(box?.to_y).toBeCloseTo(13 / 18);
  });

  test("freezes, and lets go when it is switched off", async () => {
    const { inspector, said, tick, kinds } = inspect();
    inspector.button.click();
    inspector.strip.querySelector<HTMLElement>(".gpuview-toggle")?.click();
    await tick();
    expect(kinds()).toEqual(["Freeze", "GetRegion"]);
    expect(said[0]).toMatchObject({ is_on: true });
    inspector.button.click();
    expect(last(said)).toMatchObject({ type: "Freeze", is_on: false });
    await tick(10_000);
    expect(kinds()).toHaveLength(3);
  });
});
