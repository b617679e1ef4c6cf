// What mouse, fingers, wheel and keys mean for the inspector. Points are the page's, in CSS pixels.

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** What a person wants to see. */
export interface Wishes {
  /** What is below this point. */
  look(at: Point): void;
  /** Nothing any more. */
  leave(): void;
  /** What was at `from` is held, comes to `to`, and is larger by `factor`. */
  pull(from: Point, to: Point, factor: number): void;
  /** The picture's middle, larger by `factor`, and after a move by shares of what is seen. */
  step(factor: number, right: number, down: number): void;
  whole(): void;
  /** A box whose first corner is here. */
  beginBox(at: Point): void;
  /** The box that was begun, up to here. */
  box(to: Point): void;
  /** A box of all that is seen. */
  boxSeen(): void;
  /** To stop inspecting. */
  end(): void;
}

const STEP = 1.5;
const SHARE = 1 / 8;
const MAX_FINGERS = 2;
/** `factor`, and shares of what is seen, rightward and downward. */
const STEPS: Readonly<Record<string, readonly [number, number, number]>> = {
  "+": [STEP, 0, 0],
  "=": [STEP, 0, 0],
  "-": [1 / STEP, 0, 0],
  ArrowLeft: [1, -SHARE, 0],
  ArrowRight: [1, SHARE, 0],
  ArrowUp: [1, 0, -SHARE],
  ArrowDown: [1, 0, SHARE],
};

export class Pointing {
  /** Whether a drag makes a box without Shift. */
  is_selecting = false;
  readonly #layer: HTMLElement;
  readonly #wishes: Wishes;
  /** Those that are pressed, by id. */
  readonly #held = new Map<number, Point>();
  #is_box = false;
  #has_moved = false;

  /** Listens to the layer until `stop`; what is done here is not meant for the user's handlers. */
  constructor(layer: HTMLElement, wishes: Wishes, stop: AbortSignal) {
    this.#layer = layer;
    this.#wishes = wishes;
    const on = <Name extends keyof HTMLElementEventMap>(
      name: Name,
      act: (event: HTMLElementEventMap[Name]) => void,
    ) =>
      layer.addEventListener(
        name,
        (event) => {
          event.stopPropagation();
          act(event);
        },
        { signal: stop, passive: false },
      );
    on("pointermove", (event) => this.#move(event));
    on("pointerdown", (event) => this.#press(event));
    on("pointerup", (event) => this.#release(event));
    // Then something else has taken it, and it was no tap.
    on("pointercancel", ({ pointerId }) => this.#drop(pointerId));
    on("lostpointercapture", ({ pointerId }) => this.#drop(pointerId));
    // A finger leaves whenever it is lifted; what it has tapped stays of interest.
    on("pointerleave", ({ pointerType }) => pointerType === "touch" || this.#leave());
    on("dblclick", () => wishes.whole());
    on("wheel", (event) => this.#turn(event));
    on("keydown", (event) => this.#type(event));
    on("blur", () => wishes.leave());
  }

  /** Forgets what is held: a layer that leaves the document does not hear when it is let go. */
  forget(): void {
    for (const id of [...this.#held.keys()]) this.#drop(id);
  }

  /** Whether a button is down, or a finger on the picture. */
  get is_dragging(): boolean {
    return this.#held.size > 0;
  }

  #move(event: PointerEvent): void {
    const to = pointOf(event);
    if (!this.is_dragging) return this.#wishes.look(to);
    if (!this.#held.has(event.pointerId)) return;
    this.#has_moved = true;
    const before = grip([...this.#held.values()]);
    this.#held.set(event.pointerId, to);
    if (this.#is_box) return this.#wishes.box(to);
    const after = grip([...this.#held.values()]);
    const factor = before.spread > 0 && after.spread > 0 ? after.spread / before.spread : 1;
    this.#wishes.pull(before.centre, after.centre, factor);
  }

  #press(event: PointerEvent): void {
    const is_more = this.is_dragging;
    if (event.button !== 0 || this.#held.size >= MAX_FINGERS || (is_more && this.#is_box)) return;
    this.#layer.focus({ preventScroll: true });
    event.preventDefault();
    this.#layer.setPointerCapture(event.pointerId);
    this.#held.set(event.pointerId, pointOf(event));
    this.#has_moved = is_more;
    this.#is_box = !is_more && (event.shiftKey || this.is_selecting);
    this.#layer.classList.toggle("gpuview-dragged", !this.#is_box);
    this.#wishes.leave();
    if (this.#is_box) this.#wishes.beginBox(pointOf(event));
  }

  #release(event: PointerEvent): void {
    const is_tap = this.#drop(event.pointerId) && !this.is_dragging && !this.#has_moved;
    if (is_tap) this.#wishes.look(pointOf(event));
  }

  /** Holds it no longer; returns whether it was held. */
  #drop(id: number): boolean {
    const was_held = this.#held.delete(id);
    if (!this.is_dragging) this.#layer.classList.remove("gpuview-dragged");
    return was_held;
  }

  #leave(): void {
    if (!this.is_dragging) this.#wishes.leave();
  }

  #turn(event: WheelEvent): void {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const at = pointOf(event);
    this.#wishes.pull(at, at, Math.exp((-event.deltaY * pixels) / 300));
    this.#wishes.look(at);
  }

  #type(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = STEPS[event.key];
    if (step !== undefined) this.#wishes.step(...step);
    else if (event.key === "0") this.#wishes.whole();
    else if (event.key.toLowerCase() === "b") this.#wishes.boxSeen();
    else if (event.key === "Escape") this.#wishes.end();
    else return;
    event.preventDefault();
  }
}

/** Returns the middle of one or two fingers, and how far they are apart. */
function grip([first, second]: readonly Point[]): { centre: Point; spread: number } {
  const [a, b] = [first ?? { x: 0, y: 0 }, second ?? first ?? { x: 0, y: 0 }];
  return {
    centre: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 },
    spread: Math.hypot(a.x - b.x, a.y - b.y),
  };
}

function pointOf({ clientX: x, clientY: y }: MouseEvent): Point {
  return { x, y };
}
