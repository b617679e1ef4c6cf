// The widget as anywidget loads it: `initialize` for each model, then `render` for each output.

import { listen, type Model } from "./model";
import { View } from "./view";

type CleanUp = () => void;

interface Widget {
  initialize(props: { model: Model }): CleanUp;
  render(props: { model: Model; el: HTMLElement }): CleanUp;
}

/** anywidget calls this for each model; the model's views share what is created here. */
export default function widget(): Widget {
  // A view that is opened after the kernel is gone must know it, too.
  const kernel = new AbortController();
  return {
    initialize({ model }) {
      const stop = new AbortController();
      listen(model, "comm_live_update", () => kernel.abort(), stop.signal);
      return () => stop.abort();
    },
    render({ model, el }) {
      const stop = new AbortController();
      new View(model, el, kernel, stop.signal);
      return () => stop.abort();
    },
  };
}
