// Steps back in what was shown, while a person has paused the picture. The media process keeps the
// last seconds, and shows a picture of them when it is asked, whatever the kernel does.

import { element, button } from "../dom";
import { decodeOnto } from "../image";
import type { Replay as Answer } from "../messages";
import { Asker } from "./asker";
import type { Line } from "./line";
import { Pieces } from "./pieces";

/** Between two questions, while somebody drags. */
const GAP_MS = 30;
const GONE = "no longer kept";
const LOST = "the connection was lost; Live shows what is new";

/** A picture, by a time on the media process's clock and so many pictures from there; without a
 * time, only how far back one can step. */
interface Wish {
  readonly time_ms?: number;
  readonly step: number;
}

export interface ReplayOptions {
  readonly line: Line;
  /** Shows an earlier picture in place of the frozen one; the newest of them is not older. */
  readonly onPicture: (picture: HTMLCanvasElement, is_newest: boolean) => void;
  /** "Live" was pressed. */
  readonly onLive: () => void;
  /** The bar vanishes, and has had the keyboard. */
  readonly onFocusLost: () => void;
  readonly stop: AbortSignal;
}

export class Replay {
  /** Below the picture, while there is something to step back to. */
  readonly bar = element("div", "gpuview-replay");
  readonly #options: ReplayOptions;
  readonly #slider = document.createElement("input");
  readonly #age = element("span", "gpuview-replay-age");
  readonly #live: HTMLButtonElement;
  readonly #asker: Asker<Wish>;
  readonly #pieces = new Pieces();
  #is_on = false;
  /** What the next step goes from, and how many steps have been made from there. */
  #from_ms = 0;
  #step = 0;
  #newest_ms = 0;
  #decoding = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    const { line, onLive, stop } = options;
    this.#asker = new Asker({
      ask: (wish, seq) => line.say({ type: "GetReplay", seq, ...wish }),
      gap_ms: GAP_MS,
      isRepeated: ({ time_ms }) => time_ms === undefined,
      stop,
    });
    this.#slider.type = "range";
    this.#slider.step = "any";
    this.#slider.max = "0";
    this.#slider.ariaLabel = "Step back";
    this.#slider.title = "Drag to step back, arrows: one picture, Home and End: the ends";
    this.#slider.addEventListener("input", () => this.#drag(), { signal: stop });
    this.#slider.addEventListener("keydown", (event) => this.#type(event), { signal: stop });
    this.#live = button("gpuview-toggle", "Live", onLive);
    this.#live.title = "Live: show what is new";
    this.bar.append(this.#slider, this.#age, this.#live);
    this.bar.hidden = true;
    line.listen((message) => message.type === "Replay" && this.#hear(message), stop);
  }

  /** Follows whether a person has stopped the picture, and whether the media process can be asked. */
  follow(is_paused: boolean, is_connected: boolean): void {
    const is_on = is_paused && is_connected;
    if (is_on !== this.#is_on) this.#turn(is_on);
    if (!is_paused) this.#hide();
    else if (!is_connected) this.#sayLost();
  }

  #turn(is_on: boolean): void {
    this.#is_on = is_on;
    this.#decoding += 1;
    this.#asker.cancel();
    if (is_on) this.#asker.want({ step: 0 });
  }

  #sayLost(): void {
    const had_focus = this.#slider.matches(":focus");
    this.#slider.hidden = true;
    this.#age.textContent = LOST;
    if (had_focus) this.#live.focus();
  }

  #hide(): void {
    if (this.bar.hidden) return;
    const had_focus = this.bar.querySelector(":focus") !== null;
    this.bar.hidden = true;
    if (had_focus) this.#options.onFocusLost();
  }

  #drag(): void {
    this.#want(this.#newest_ms + this.#slider.valueAsNumber * 1000, 0);
  }

  #type(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = STEPS[event.key];
    if (step === undefined) return; // The browser moves the handle.
    event.preventDefault();
    this.#want(this.#from_ms, this.#step + step);
  }

  #want(time_ms: number, step: number): void {
    [this.#from_ms, this.#step] = [time_ms, step];
    this.#asker.want({ time_ms, step });
  }

  #hear(piece: Answer): void {
    if (!this.#asker.hear(piece.seq)) return;
    const image = this.#pieces.take(piece);
    if (image === "more") return;
    const wish = this.#asker.answered(piece.seq);
    if (wish === null) return;
    if (piece.problem !== "") this.#age.textContent = piece.problem;
    else if (wish.time_ms === undefined) this.#begin(piece);
    else this.#show(wish, piece, image);
  }

  /** Shows how far back one can step, and from where: more may be kept than the page has shown. */
  #begin({ oldest_ms, newest_ms }: Answer): void {
    this.#newest_ms = newest_ms;
    this.bar.hidden = oldest_ms >= newest_ms;
    this.#slider.hidden = false;
    if (this.bar.hidden) return;
    this.#want(newest_ms, 0);
    this.#follow(oldest_ms);
    this.#slider.value = "0";
    this.#sayAge(newest_ms);
  }

  /** What is held of a long pause may have to make room for others. */
  #show(wish: Wish, { oldest_ms, time_ms }: Answer, image: Uint8Array<ArrayBuffer> | null): void {
    if (oldest_ms === 0) this.#age.textContent = this.#slider.ariaValueText = GONE;
    else this.#follow(oldest_ms);
    if (image !== null) void this.#draw(wish, time_ms, image);
  }

  #follow(oldest_ms: number): void {
    this.#slider.min = String((oldest_ms - this.#newest_ms) / 1000);
  }

  async #draw(wish: Wish, time_ms: number, jpeg: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#decoding += 1;
    const number = this.#decoding;
    const blob = new Blob([jpeg], { type: "image/jpeg" });
    const isWanted = () => number === this.#decoding && !this.#options.stop.aborted;
    const canvas = await decodeOnto(document.createElement("canvas"), blob, isWanted);
    if (canvas === null) return;
    this.#options.onPicture(canvas, time_ms >= this.#newest_ms);
    this.#sayAge(time_ms);
    // What was wanted meanwhile goes from where this was wanted from.
    if (wish.time_ms !== this.#from_ms || wish.step !== this.#step) return;
    [this.#from_ms, this.#step] = [time_ms, 0];
    if (wish.step !== 0) this.#slider.valueAsNumber = (time_ms - this.#newest_ms) / 1000;
  }

  #sayAge(time_ms: number): void {
    this.#age.textContent = this.#slider.ariaValueText = ageText(this.#newest_ms - time_ms);
  }
}

const STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
};

/** Says how much older a picture is than the newest that was kept. */
export function ageText(age_ms: number): string {
  const age_s = Math.max(0, age_ms) / 1000;
  if (age_s < 0.005) return "at the pause";
  return `${age_s.toFixed(age_s < 1 ? 2 : 1)} s before the pause`;
}
