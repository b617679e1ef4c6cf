// What a person can do with the picture of one view: inspect it, turn its knobs, touch it.

import { listen, type Model } from "../model";
import type { Overlay } from "../overlay";
import type { Size } from "../picture_size";
import type { Screen } from "../player";
import { PictureEvents } from "./events";
import { Inspector } from "./inspector";
import { Knobs } from "./knobs";
import type { Line } from "./line";

export interface InteractionOptions {
  readonly model: Model;
  readonly line: Line;
  readonly overlay: Overlay;
  /** What is seen now; null before the first picture. */
  readonly screen: () => Screen | null;
  readonly stop: AbortSignal;
}

export class Interaction {
  readonly #inspector: Inspector;

  constructor({ model, line, overlay, screen, stop }: InteractionOptions) {
    const { stage } = overlay;
    this.#inspector = new Inspector({ stage, line, stop });
    overlay.add(this.#inspector);
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

  /** Follows the size of the stream's picture. */
  resize(size: Size): void {
    this.#inspector.resize(size);
  }
}
