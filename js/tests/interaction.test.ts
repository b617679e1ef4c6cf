// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import { merged } from "../src/interaction/events";
import { Scale, valueText } from "../src/interaction/scale";
import type { EventType, Interaction, Knob, RenderEvent } from "../src/messages";
import { NO_INTERACTION } from "../src/standalone/remote_model";
import type { FakeModel } from "./fakes";
import { pass, peer, play, show, usePage } from "./page";

usePage();
beforeEach(() => {
  const box = { x: 100, y: 50, width: 640, height: 360 };
  vi.spyOn(Element.prototype, "getBoundingClientRect").mockReturnValue(
    new DOMRect(box.x, box.y, box.width, box.height),
  );
});

const FRAME_MS = 20;
const LR: Knob = {
  kind: "slider",
  name: "lr",
  value: 0.001,
  low: 1e-5,
  high: 0.1,
  step: 0,
  is_log: true,
  options: [],
};

async function showing(interaction: Partial<Interaction>) {
  const shown = await show({ interaction: { ...NO_INTERACTION, ...interaction } });
  await play(shown.model, shown.root);
  peer().interaction?.open();
  const stage = shown.root.querySelector<HTMLElement>(".gpuview-stage");
  const picture = shown.root.querySelector<HTMLElement>(".gpuview-video");
  if (stage === null || picture === null) throw new Error("there is no picture");
  return { ...shown, stage, picture };
}

const change = (model: FakeModel, interaction: Partial<Interaction>) =>
  model.push("interaction", { ...NO_INTERACTION, ...interaction });

/** What was said over the data channel. */
const said = () => (peer().interaction?.sent ?? []).map((text) => JSON.parse(text));
const events = (): RenderEvent[] => said().flatMap((message) => message.events ?? []);
const point = (type: string, options: PointerEventInit = {}) =>
  new PointerEvent(type, { bubbles: true, cancelable: true, pointerId: 1, ...options });
const key = (type: string, options: KeyboardEventInit) =>
  new KeyboardEvent(type, { bubbles: true, cancelable: true, ...options });

describe("events", () => {
  test("are not sent, and nothing is prevented, without a handler", async () => {
    const { stage, picture } = await showing({});
    const wheel = new WheelEvent("wheel", { bubbles: true, cancelable: true, deltaY: 3 });
    picture.dispatchEvent(wheel);
    picture.dispatchEvent(point("pointerdown"));
    stage.dispatchEvent(key("keydown", { key: "a" }));
    await pass(FRAME_MS);
    expect(said()).toEqual([]);
    expect(wheel.defaultPrevented).toBe(false);
    expect(stage.hasAttribute("tabindex")).toBe(false);
  });

  test("have the specification's fields, and the place in the picture", async () => {
    const { picture } = await showing({ events: ["pointer_down"] });
    const options = { clientX: 260, clientY: 140, button: 2, buttons: 3, shiftKey: true };
    picture.dispatchEvent(point("pointerdown", options));
    expect(events()).toMatchObject([
      { type: "pointer_down", x: 160, y: 90, u: 0.25, v: 0.25, button: 2, buttons: [1, 2] },
    ]);
    expect(events()[0]?.modifiers).toEqual(["Shift"]);
  });

  test("that are moves are one for each frame, and a click stays behind those before it", async () => {
    const { picture } = await showing({ events: ["pointer_down", "pointer_move"] });
    for (let x = 0; x < 5; x += 1) {
      picture.dispatchEvent(point("pointermove", { clientX: 100 + x }));
    }
    expect(said()).toEqual([]);
    await pass(FRAME_MS);
    expect(events().map(({ type, x }) => [type, x])).toEqual([["pointer_move", 4]]);
    picture.dispatchEvent(point("pointermove", { clientX: 110 }));
    picture.dispatchEvent(point("pointerdown", { clientX: 110 }));
    expect(said()).toHaveLength(2); // Together, and at once.
    expect(
      events()
        .map(({ type }) => type)
        .slice(1),
    ).toEqual(["pointer_move", "pointer_down"]);
  });

  test("of the wheel add up, and only then the page does not scroll", async () => {
    const { model, picture } = await showing({ events: ["wheel"] });
    const turn = () => {
      const wheel = new WheelEvent("wheel", { bubbles: true, cancelable: true, deltaY: 3 });
      picture.dispatchEvent(wheel);
      return wheel.defaultPrevented;
    };
    expect([turn(), turn()]).toEqual([true, true]);
    await pass(FRAME_MS);
    expect(events().map(({ type, dy }) => [type, dy])).toEqual([["wheel", 6]]);
    change(model, { events: [] });
    expect(turn()).toBe(false);
  });

  test("of keys are taken from the notebook only while the picture has the focus", async () => {
    const { model, root, stage, picture } = await showing({
      events: ["key_down", "key_up", "char", "focus", "blur"],
    });
    const notebook = vi.fn();
    document.body.addEventListener("keydown", notebook);
    root.dispatchEvent(key("keydown", { key: "d" }));
    expect(notebook).toHaveBeenCalledTimes(1);
    expect(events()).toEqual([]);
    picture.dispatchEvent(point("pointerdown"));
    expect(document.activeElement).toBe(stage);
    const pressed = key("keydown", { key: "a" });
    stage.dispatchEvent(pressed);
    stage.dispatchEvent(key("keyup", { key: "a" }));
    const tab = key("keydown", { key: "Tab" });
    stage.dispatchEvent(tab);
    expect([pressed.defaultPrevented, tab.defaultPrevented]).toEqual([true, false]);
    expect(notebook).toHaveBeenCalledTimes(1);
    expect(events().map(({ type, key, data }) => `${type} ${key}${data}`)).toEqual([
      "focus ",
      "key_down a",
      "char a",
      "key_up a",
      "key_down Tab",
    ]);
    change(model, { events: [] });
    expect(stage.hasAttribute("tabindex")).toBe(false);
    document.body.removeEventListener("keydown", notebook);
  });

  test("of two fingers have both", async () => {
    const { picture } = await showing({ events: ["pointer_down", "pointer_up"] });
    const touch = { pointerType: "touch", pressure: 0.5 };
    picture.dispatchEvent(point("pointerdown", { ...touch, pointerId: 1, clientX: 110 }));
    picture.dispatchEvent(point("pointerdown", { ...touch, pointerId: 2, clientX: 130 }));
    picture.dispatchEvent(point("pointerup", { ...touch, pointerId: 1 }));
    expect(events().map(({ touches }) => touches.map(({ x }) => x))).toEqual([
      [10],
      [10, 30],
      [30],
    ]);
  });

  test("end with the view, which says so", async () => {
    const { dispose } = await showing({ events: ["close"] });
    dispose();
    await pass(3000);
    expect(events().map(({ type }) => type)).toEqual(["close"]);
  });
});

test("two events are one only where the later one says it all", () => {
  const event = (type: EventType, buttons: number[], dy = 0) =>
    ({ type, buttons, modifiers: [], dx: 0, dy }) as unknown as RenderEvent;
  expect(merged(event("pointer_move", []), event("pointer_move", [1]))).toBeNull();
  expect(merged(event("pointer_down", [1]), event("pointer_down", [1]))).toBeNull();
  expect(merged(event("wheel", [], 1), event("wheel", [], 2))?.dy).toBe(3);
});

describe("knobs", () => {
  const NOISE: Knob = { ...LR, kind: "toggle", name: "<b>noise</b>", value: false };
  const MODE: Knob = {
    ...LR,
    kind: "choice",
    name: "mode",
    value: "b",
    options: ["a", "<i>b</i>"],
  };
  const GO: Knob = { ...LR, kind: "button", name: "go", value: 0 };
  const find = <Kind extends HTMLElement>(root: HTMLElement, selector: string) => {
    const found = root.querySelector<Kind>(selector);
    if (found === null) throw new Error(`there is no ${selector}`);
    return found;
  };
  const slider = (root: HTMLElement) => find<HTMLInputElement>(root, ".gpuview-knobs [type=range]");

  function slide(root: HTMLElement, position: number) {
    slider(root).value = String(position);
    slider(root).dispatchEvent(new Event("input", { bubbles: true }));
  }

  test("are drawn below the picture with their names as text", async () => {
    const { root, model } = await showing({});
    expect(find(root, ".gpuview-knobs").hidden).toBe(true);
    change(model, { knobs: [LR, NOISE, MODE, GO] });
    const panel = find(root, ".gpuview-knobs");
    expect(panel.hidden).toBe(false);
    expect(panel.querySelector("b, i")).toBeNull();
    expect(panel.textContent).toContain("<b>noise</b>");
    expect([slider(root).ariaLabel, slider(root).getAttribute("aria-valuetext")]).toEqual([
      "lr",
      "0.001",
    ]);
    change(model, { knobs: [GO] });
    expect(panel.querySelectorAll(".gpuview-knob")).toHaveLength(1);
  });

  test("that are moved say their newest value with the next frame", async () => {
    const { root } = await showing({ knobs: [LR] });
    slide(root, 600);
    slide(root, 1000);
    expect(said()).toEqual([]);
    await pass(FRAME_MS);
    expect(said()).toMatchObject([{ type: "SetKnob", name: "lr", value: 0.1 }]);
    expect(find(root, ".gpuview-knob-value").textContent).toBe("0.1");
  });

  test("follow the kernel, but not while a person moves them", async () => {
    const { root, model } = await showing({ knobs: [LR] });
    const first = slider(root);
    change(model, { knobs: [{ ...LR, value: 0.1 }] });
    expect(slider(root)).toBe(first); // It may have the focus.
    expect(first.value).toBe("1000");
    slide(root, 0);
    change(model, { knobs: [{ ...LR, value: 0.01 }] });
    expect(first.value).toBe("0");
    await pass(500);
    expect(first.value).toBe("750");
  });

  test("of each kind say what was done", async () => {
    const { root } = await showing({ knobs: [NOISE, MODE, GO] });
    find<HTMLInputElement>(root, "[role=switch]").click();
    const select = find<HTMLSelectElement>(root, "select");
    select.value = "a";
    select.dispatchEvent(new Event("change"));
    find(root, ".gpuview-knob-button").click();
    find(root, ".gpuview-knob-button").click();
    await pass(FRAME_MS);
    const values = said().map(({ name, value }) => [name, value]);
    expect(values).toEqual([
      ["go", 1],
      ["go", 1],
      ["<b>noise</b>", true],
      ["mode", "a"],
    ]);
  });

  test("with several numbers have a handle for each", async () => {
    const { root } = await showing({
      knobs: [{ ...LR, is_log: false, low: 0, high: 1, step: 0.1, value: [0.1, 0.5] }],
    });
    slide(root, 3);
    await pass(FRAME_MS);
    expect(said()[0]?.value).toEqual([0.3, 0.5]);
  });

  test("keep their keys from the notebook", async () => {
    const { root } = await showing({ knobs: [LR] });
    const notebook = vi.fn();
    document.body.addEventListener("keydown", notebook);
    slider(root).dispatchEvent(key("keydown", { key: "ArrowUp" }));
    document.body.removeEventListener("keydown", notebook);
    expect(notebook).not.toHaveBeenCalled();
  });
});

describe("a scale", () => {
  test.each([
    [{ low: 0, high: 10, step: 1, is_log: false }, 10, [0, 5, 10]],
    [{ low: 0, high: 1, step: 0.3, is_log: false }, 4, [0, 0.6, 1]],
    [{ low: 1e-4, high: 1, step: 0, is_log: true }, 1000, [1e-4, 0.01, 1]],
    [{ low: -1, high: 1, step: 0, is_log: false }, 1000, [-1, 0, 1]],
    [{ low: 0, high: 1e6, step: 1, is_log: false }, 10_000, [0, 500_000, 1e6]],
  ] as const)("has a place for each number of %o", (range, positions, numbers) => {
    const scale = new Scale(range);
    expect(scale.positions).toBe(positions);
    const places = [0, scale.positions / 2, scale.positions];
    expect(places.map((place) => scale.value(place))).toEqual(numbers);
    expect(numbers.map((number) => scale.position(number))).toEqual(places);
  });

  test("has numbers with four digits", () => {
    const numbers = [0, 3, 0.1, 1e-5, 123456, 0.123456, 1234567.5];
    const texts = ["0", "3", "0.1", "1e-05", "123456", "0.1235", "1.235e+06"];
    expect(numbers.map(valueText)).toEqual(texts);
  });
});
