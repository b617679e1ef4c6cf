// What a person can do with the picture of one view: inspect it, turn its knobs, touch it.

import { listen, type Model } from "../model";
import type { Overlay } from "../view_dom";
import type { Size } from "../picture_size";
import type { Screen } from "../player";
import { PictureEvents } from "./events";
import { Inspector } from "./inspector";
import { Knobs } from "./knobs";
import type { Line } from "./line";
import { Replay } from "./replay";

export interface InteractionOptions {
  readonly model: Model;
  readonly line: Line;
  readonly overlay: Overlay;
  /** What is seen now; null before the first picture. */
  readonly screen: () => Screen | null;
  /** Shows an earlier picture in place of the frozen one; the newest of them is not older. */
  readonly onPicture: (picture: HTMLCanvasElement, is_newest: boolean) => void;
  /** A person wants to see what is new. */
  readonly onLive: () => void;
  readonly stop: AbortSignal;
}

export class Interaction {
  readonly #inspector: Inspector;
  readonly #replay: Replay;

  constructor(options: InteractionOptions) {
    const { model, line, overlay, screen, onPicture, onLive, stop } = options;
    const { stage } = overlay;
    this.#inspector = new Inspector({ stage, line, stop });
    overlay.add(this.#inspector);
    const onFocusLost = () => overlay.controls.focusPause();
    this.#replay = new Replay({ line, onPicture, onLive, onFocusLost, stop });
    overlay.addBar(this.#replay.bar);
    const knobs = new Knobs(line, stop);
    overlay.addKnobs(knobs.element);
    const events = new PictureEvents({ line, stage, screen, stop });
    const follow = () => {
      const interaction = model.get("interaction");
      events.follow(interaction);
      knobs.show(interaction.knobs);
    };
    listen(model, "change:interaction", follow, stop);
    follow();
  }

  /** Follows whether the picture is paused, and whether earlier ones can be asked for. */
  followPause(is_paused: boolean, is_connected: boolean): void {
    this.#replay.follow(is_paused, is_connected);
  }

  /** Follows the size of the stream's picture. */
  resize(size: Size): void {
    this.#inspector.resize(size);
  }
}
