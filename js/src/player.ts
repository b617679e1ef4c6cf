// The picture. Each connection has a screen of its own, a <video> or a canvas, which stays invisible
// until its first frame is there and then replaces the old one: never black, no flicker.

import { pictureSize, type PictureSize, type Size } from "./picture_size";

/** Frames whose longest side is shorter are enlarged, pixel by pixel, so that they can be seen. */
const MIN_SIDE = 320;

export type Screen = HTMLVideoElement | HTMLCanvasElement;

/** What is seen at a moment. */
export interface ShownPicture {
  /** Has its pixels. */
  readonly screen: Screen;
  /** The same without what may lie over it. */
  readonly moving: Screen;
  /** Whether every pixel is as it was pushed. */
  readonly is_exact: boolean;
}

export interface PlayerOptions {
  /** Gets the size of the first picture, and then each new size. */
  readonly onSize: (size: PictureSize) => void;
  /** Whether there is a picture over the moving one. */
  readonly onCover: (is_covered: boolean) => void;
  /** The screen of another connection is seen from now on. */
  readonly onScreen: (screen: Screen) => void;
}

export class Player {
  readonly #stage: HTMLElement;
  readonly #options: PlayerOptions;
  #shown: Screen | null = null;
  #is_live = false;
  /** Whether the picture that was kept at a connection's end is exact. */
  #has_kept_exact = false;
  /** What lies over the screen. */
  #cover: HTMLCanvasElement | null = null;
  /** The size of the stream's picture, as the media process said last. */
  #said: Size | null = null;
  /** Whether the user has chosen the size, however small. */
  #is_size_chosen = false;

  constructor(stage: HTMLElement, options: PlayerOptions) {
    this.#stage = stage;
    this.#options = options;
  }

  /** Whether what is seen may change. */
  get is_live(): boolean {
    return this.#is_live;
  }

  /** What is seen now; null before the first picture. */
  get picture(): ShownPicture | null {
    const [moving, cover] = [this.#shown, this.#cover];
    if (moving === null) return null;
    const is_exact = cover !== null || this.#has_kept_exact;
    return { screen: cover ?? moving, moving, is_exact };
  }

  /** Takes the screen of a new connection, which is not seen until `show`; `stop` ends it. */
  add(screen: Screen, stop: AbortSignal): void {
    screen.className = "gpuview-pending";
    this.#stage.append(screen);
    stop.addEventListener("abort", () => screen !== this.#shown && remove(screen), { once: true });
  }

  /** Shows a screen that has its first frame, in place of the present one. */
  show(screen: Screen): void {
    if (this.isShown(screen)) return;
    this.close();
    [this.#shown, this.#is_live] = [screen, true];
    screen.className = "gpuview-video";
    this.measure(screen);
    this.#options.onScreen(screen);
  }

  /** Whether a screen is the one that is seen, and may change. */
  isShown(screen: Screen): boolean {
    return this.#is_live && screen === this.#shown;
  }

  /** Follows the size of a screen's frames. */
  measure(screen: Screen): void {
    if (this.isShown(screen)) this.#followSize(screen);
  }

  /** Keeps the room for a first picture of this size. */
  reserve(size: Size, is_chosen: boolean): void {
    this.#is_size_chosen = is_chosen;
    if (this.#shown !== null) this.measure(this.#shown);
    else if (size.width > 0) this.#layOut(size);
  }

  /** Takes the size of the stream's picture: the frames may be smaller copies of it. */
  setPictureSize(said: Size): void {
    this.#said = said;
    if (this.#shown !== null) this.measure(this.#shown);
  }

  /** Lays a picture over a screen, which goes on below it; null takes it away. */
  cover(screen: Screen, picture: HTMLCanvasElement | null): void {
    if (!this.isShown(screen)) return;
    this.#takeCover()?.remove();
    this.#setCover(picture);
    if (picture === null) return;
    picture.className = screen.className;
    screen.after(picture);
  }

  /** Keeps a screen's last picture. Call it before the connection's end, which may blacken it. */
  freeze(screen: Screen): void {
    if (!this.isShown(screen)) return;
    const cover = this.#takeCover();
    this.#replace(screen, cover ?? draw(screen));
    [this.#is_live, this.#has_kept_exact] = [false, cover !== null];
  }

  /** Shows another picture in place of the frozen one. */
  showAgain(picture: HTMLCanvasElement): void {
    if (this.#shown === null || this.#is_live) return;
    this.#replace(this.#shown, picture);
    this.#has_kept_exact = false;
    this.#followSize(picture);
  }

  /** Removes the picture. */
  close(): void {
    this.#takeCover()?.remove();
    if (this.#shown !== null) remove(this.#shown);
    [this.#shown, this.#is_live, this.#has_kept_exact] = [null, false, false];
  }

  #followSize(screen: Screen): void {
    const size = pictureSize(sizeOf(screen), this.#said);
    this.#layOut(size);
    this.#options.onSize(size);
  }

  #layOut({ width, height }: Size): void {
    const { classList, style } = this.#stage;
    const is_tiny = !this.#is_size_chosen && Math.max(width, height) < MIN_SIDE;
    classList.add("gpuview-sized");
    classList.toggle("gpuview-tiny", is_tiny);
    style.setProperty("--gpuview-width", String(width));
    style.setProperty("--gpuview-height", String(height));
  }

  #replace(screen: Screen, still: HTMLCanvasElement): void {
    still.className = screen.className;
    screen.after(still);
    remove(screen);
    this.#shown = still;
  }

  #takeCover(): HTMLCanvasElement | null {
    const cover = this.#cover;
    this.#setCover(null);
    return cover;
  }

  #setCover(picture: HTMLCanvasElement | null): void {
    const was_covered = this.#cover !== null;
    this.#cover = picture;
    if ((picture !== null) !== was_covered) this.#options.onCover(picture !== null);
  }
}

function sizeOf(screen: Screen): Size {
  return screen instanceof HTMLVideoElement
    ? { width: screen.videoWidth, height: screen.videoHeight }
    : { width: screen.width, height: screen.height };
}

/** Returns a copy of what a screen shows now. */
export function draw(screen: Screen): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, sizeOf(screen));
  canvas.getContext("2d")?.drawImage(screen, 0, 0);
  return canvas;
}

function remove(screen: Screen): void {
  if (screen instanceof HTMLVideoElement) screen.srcObject = null;
  screen.remove();
}
