// What a person does to the picture, as events of the renderview specification. Nothing is listened to
// that no handler wants, so the notebook's shortcuts and the page's scrolling are left alone.

import type { EventType, Interaction, RenderEvent, Touch } from "../messages";
import type { Size } from "../picture_size";
import { roomOf } from "../page_width";
import type { Line } from "./line";
import { contained, type Area } from "./viewport";

/** The kernel reads no more of them at once. */
const MAX_EVENTS = 64;
const POINTER: readonly EventType[] = [
  "pointer_down",
  "pointer_up",
  "pointer_move",
  "pointer_enter",
  "pointer_leave",
  "double_click",
];
const KEYS: readonly EventType[] = ["key_down", "key_up", "char"];
/** By `MouseEvent.button`: left, middle, right, back, forward. */
const BUTTONS = [1, 3, 2, 4, 5];
/** By the bits of `MouseEvent.buttons`. */
const BUTTON_BITS = [1, 2, 3, 4, 5];
/** CSS pixels of a line and of a page, where a wheel counts in these. */
const WHEEL_SCALES = [1, 16, 600];
const USUAL_RATIO = 16 / 9;
/** As in the style of the video. */
const MAX_SHARE_OF_WINDOW = 0.9;

type Modified = Pick<MouseEvent, "shiftKey" | "ctrlKey" | "altKey" | "metaKey">;

export interface PictureEventsOptions {
  readonly line: Line;
  /** Around the picture; has the keyboard while somebody types on the picture. */
  readonly stage: HTMLElement;
  /** What is seen; null before the first picture. */
  readonly screen: () => HTMLElement | null;
  readonly stop: AbortSignal;
}

export class PictureEvents {
  readonly #options: PictureEventsOptions;
  #wanted: ReadonlySet<EventType> = new Set();
  /** Ends the present listeners. */
  #listening = new AbortController();
  #waiting: RenderEvent[] = [];
  #is_flush_due = false;
  /** The fingers on the picture. */
  readonly #touches = new Map<number, Touch>();

  constructor(options: PictureEventsOptions) {
    this.#options = options;
    const end = () => {
      this.#emit("close", {});
      this.#listening.abort();
    };
    options.stop.addEventListener("abort", end, { once: true });
  }

  /** Whether a handler wants events of this type. */
  wants(type: EventType): boolean {
    return this.#wanted.has(type);
  }

  /** Listens from now on to what handlers want. */
  follow({ events }: Interaction): void {
    const wanted = new Set(events);
    if (events.length === this.#wanted.size && events.every((each) => this.wants(each))) return;
    this.#wanted = wanted;
    this.#listening.abort();
    this.#listening = new AbortController();
    this.#touches.clear();
    const { stage } = this.#options;
    const [points, types] = [this.#wantsAny(POINTER), this.#wantsAny(KEYS)];
    stage.classList.toggle("gpuview-pointed", points);
    // A finger that moves would scroll the page instead.
    stage.classList.toggle("gpuview-dragged", this.wants("pointer_move"));
    const is_focused = types || this.wants("focus") || this.wants("blur");
    this.#allowFocus(is_focused);
    if (points || is_focused) this.#on("pointerdown", (event) => this.#press(event));
    if (points) this.#listenToPointers();
    if (types) this.#listenToKeys();
    if (this.wants("wheel")) this.#on("wheel", (event) => this.#turn(event), { passive: false });
    if (this.wants("focus")) this.#on("focus", () => this.#emit("focus", {}));
    if (this.wants("blur")) this.#on("blur", () => this.#emit("blur", {}));
    if (this.wants("resize")) this.#watchSize();
  }

  #wantsAny(types: readonly EventType[]): boolean {
    return types.some((type) => this.wants(type));
  }

  #on<Type extends keyof HTMLElementEventMap>(
    type: Type,
    listener: (event: HTMLElementEventMap[Type]) => void,
    options: AddEventListenerOptions = {},
  ): void {
    const { signal } = this.#listening;
    this.#options.stage.addEventListener(type, listener, { ...options, signal });
  }

  // --- the keyboard

  #allowFocus(is_allowed: boolean): void {
    const { stage } = this.#options;
    stage.toggleAttribute("tabindex", is_allowed);
    // JupyterLab then leaves the keys alone that are pressed in here.
    stage.toggleAttribute("data-lm-suppress-shortcuts", is_allowed);
    if (!is_allowed) {
      stage.removeAttribute("role");
      return;
    }
    stage.tabIndex = 0;
    stage.setAttribute("data-lm-suppress-shortcuts", "true");
    stage.setAttribute("role", "application");
    stage.ariaLabel = "Picture that takes keys";
  }

  #listenToKeys(): void {
    const { stage } = this.#options;
    this.#on("keydown", (event) => {
      if (event.target !== stage) return; // A button over the picture has the keyboard.
      event.stopPropagation();
      // Tab leads on, and the browser's own shortcuts go on working.
      const is_browsers = event.ctrlKey || event.altKey || event.metaKey || event.key === "Tab";
      if (!is_browsers) event.preventDefault();
      const modifiers = modifiersOf(event);
      if (!event.repeat) this.#emit("key_down", { key: event.key, modifiers });
      const is_text = [...event.key].length === 1 && !event.ctrlKey && !event.metaKey;
      if (is_text) this.#emit("char", { data: event.key, modifiers });
    });
    this.#on("keyup", (event) => {
      if (event.target !== stage) return;
      event.stopPropagation();
      this.#emit("key_up", { key: event.key, modifiers: modifiersOf(event) });
    });
  }

  // --- pointers

  #listenToPointers(): void {
    this.#on("pointermove", (event) => this.#point("pointer_move", event));
    this.#on("pointerup", (event) => this.#lift(event));
    this.#on("pointercancel", (event) => this.#lift(event));
    this.#on("pointerenter", (event) => this.#point("pointer_enter", event));
    this.#on("pointerleave", (event) => this.#point("pointer_leave", event));
    const menu = (event: MouseEvent) => {
      if (this.#isOnPicture(event) && !event.shiftKey) event.preventDefault();
    };
    this.#on("contextmenu", menu);
    if (this.wants("double_click")) this.#listenToDoubleClicks();
  }

  #listenToDoubleClicks(): void {
    const take = (event: MouseEvent) => {
      if (!this.#isOnPicture(event)) return;
      event.stopImmediatePropagation(); // It would enlarge the picture.
      this.#emit("double_click", { ...this.#at(event), ...heldWith(event) });
    };
    this.#on("dblclick", take, { capture: true });
  }

  #press(event: PointerEvent): void {
    if (!this.#isOnPicture(event)) return;
    const { stage } = this.#options;
    if (stage.hasAttribute("tabindex")) {
      event.preventDefault(); // Or the notebook takes the focus.
      stage.focus({ preventScroll: true });
    }
    // A drag goes on outside of the picture.
    if (this.wants("pointer_move") || this.wants("pointer_up")) {
      stage.setPointerCapture?.(event.pointerId);
    }
    this.#keepTouch(event);
    this.#point("pointer_down", event);
  }

  #lift(event: PointerEvent): void {
    this.#touches.delete(event.pointerId);
    this.#point("pointer_up", event);
  }

  #point(type: EventType, event: PointerEvent): void {
    if (type === "pointer_move" && this.#touches.has(event.pointerId)) this.#keepTouch(event);
    if (!this.wants(type)) return;
    const is_press = type === "pointer_down" || type === "pointer_up";
    const held = heldWith(event);
    const button = is_press ? held.button : 0;
    this.#emit(type, { ...this.#at(event), ...held, button, touches: [...this.#touches.values()] });
  }

  #keepTouch(event: PointerEvent): void {
    if (event.pointerType !== "touch") return;
    const { x, y } = this.#at(event);
    const pressure = Math.min(Math.max(event.pressure, 0), 1);
    this.#touches.set(event.pointerId, { id: event.pointerId, x, y, pressure });
  }

  #turn(event: WheelEvent): void {
    if (!this.#isOnPicture(event)) return;
    event.preventDefault();
    const scale = WHEEL_SCALES[event.deltaMode] ?? 1;
    const { buttons, modifiers } = heldWith(event);
    const ways = { dx: event.deltaX * scale, dy: event.deltaY * scale };
    this.#emit("wheel", { ...this.#at(event), buttons, modifiers, ...ways });
  }

  #isOnPicture({ target }: MouseEvent): boolean {
    const { screen, stage } = this.#options;
    return target === stage || target === screen();
  }

  /** Where an event is, on the page and in the picture. */
  #at({ clientX, clientY }: MouseEvent): Pick<RenderEvent, "x" | "y" | "u" | "v"> {
    const screen = this.#options.screen();
    if (screen === null) return { x: 0, y: 0 };
    const { left, top, width, height } = pictureBox(screen);
    const [x, y] = [clientX - left, clientY - top];
    return width > 0 && height > 0 ? { x, y, u: x / width, v: y / height } : { x, y };
  }

  #watchSize(): void {
    const { stage, screen } = this.#options;
    const observer = new ResizeObserver(() => {
      const { width, height } = roomFor(stage, screen());
      if (width > 0) this.#emit("resize", { width, height, ratio: window.devicePixelRatio });
    });
    for (const each of [stage, rootOf(stage).parentElement]) if (each) observer.observe(each);
    this.#listening.signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  }

  // --- on the way to the kernel

  #emit(type: EventType, fields: Partial<RenderEvent>): void {
    if (!this.wants(type)) return;
    const event = { ...EMPTY, ...fields, type, timestamp: performance.now() / 1000 };
    const last = this.#waiting.at(-1);
    const one = last === undefined ? null : merged(last, event);
    if (one === null) this.#waiting.push(event);
    else this.#waiting[this.#waiting.length - 1] = one;
    if (!LOOSE.has(type)) this.#flush();
    else if (!this.#is_flush_due) {
      this.#is_flush_due = true;
      requestAnimationFrame(() => this.#flush());
    }
  }

  #flush(): void {
    this.#is_flush_due = false;
    while (this.#waiting.length > 0) {
      this.#options.line.say({ type: "Events", events: this.#waiting.splice(0, MAX_EVENTS) });
    }
  }
}

/** Of these, one a frame is enough. */
const LOOSE: ReadonlySet<EventType> = new Set(["pointer_move", "wheel", "resize"]);

const EMPTY = {
  x: 0,
  y: 0,
  button: 0,
  buttons: [],
  modifiers: [],
  touches: [],
  dx: 0,
  dy: 0,
  key: "",
  data: "",
  width: 0,
  height: 0,
  ratio: 0,
};

/** Returns one event for two in succession; null if both count. */
export function merged(before: RenderEvent, after: RenderEvent): RenderEvent | null {
  const is_same =
    before.type === after.type && LOOSE.has(after.type) && held(before) === held(after);
  if (!is_same) return null;
  if (after.type !== "wheel") return after;
  return { ...after, dx: before.dx + after.dx, dy: before.dy + after.dy };
}

function held({ buttons, modifiers }: RenderEvent): string {
  return `${buttons} ${modifiers}`;
}

/** The part of an element that shows the picture, without the bars of a full screen. */
export function pictureBox(screen: HTMLElement): Area {
  const box = screen.getBoundingClientRect();
  const ratio = ratioOf(screen);
  if (ratio === null || box.height === 0) return box;
  return contained(box, ratio, 1);
}

/**
 * How large the picture may become where it is. Not how large it is: a source that follows this would
 * follow itself.
 */
function roomFor(stage: HTMLElement, screen: HTMLElement | null): Size {
  const ratio = (screen && ratioOf(screen)) ?? USUAL_RATIO;
  const full = document.fullscreenElement;
  const is_full = full?.contains(stage) ?? false;
  const [width, height] = is_full
    ? [full?.clientWidth ?? 0, full?.clientHeight ?? 0]
    : [roomOf(rootOf(stage)), MAX_SHARE_OF_WINDOW * window.innerHeight];
  return contained({ left: 0, top: 0, width, height }, ratio, 1);
}

function rootOf(stage: HTMLElement): HTMLElement {
  return stage.closest<HTMLElement>(".gpuview") ?? stage;
}

/** The picture's width by its height; null before there is one. */
function ratioOf(screen: HTMLElement): number | null {
  const style = getComputedStyle(screen);
  const side = (name: string) => Number(style.getPropertyValue(`--gpuview-${name}`));
  const ratio = side("width") / side("height");
  return ratio > 0 && Number.isFinite(ratio) ? ratio : null;
}

function modifiersOf(event: Modified): RenderEvent["modifiers"] {
  const { shiftKey, ctrlKey, altKey, metaKey } = event;
  const held = [shiftKey && "Shift", ctrlKey && "Control", altKey && "Alt", metaKey && "Meta"];
  return held.filter((each) => each !== false) as RenderEvent["modifiers"];
}

function heldWith(event: MouseEvent): Pick<RenderEvent, "button" | "buttons" | "modifiers"> {
  return {
    button: BUTTONS[event.button] ?? 0,
    buttons: BUTTON_BITS.filter((_, bit) => (event.buttons & (1 << bit)) !== 0),
    modifiers: modifiersOf(event),
  };
}
