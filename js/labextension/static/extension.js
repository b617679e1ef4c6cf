// @ts-check
// JupyterLab and Notebook 7: a stream's saved picture is shown where its live view cannot be.
//
// An output of a stream has a picture beside its widget's view, and the page always chooses the
// view. In a notebook without its kernel, that says "Loading widget..." or "model not found". Here,
// the renderer of such an output shows the picture until it has a view.
//
// The kernel may put a picture into an output that has its view. The view then stays as it is, where
// ipywidgets would draw it anew; `keeps_views` tells the page's views so.
//
// This file is served as it is: a module container, written by hand, in the form that webpack's
// module federation expects (https://webpack.js.org/concepts/module-federation/). JupyterLab
// calls `init` with the modules that it shares, then `get` for the plugin.

/**
 * @typedef {{ data: Record<string, any>, metadata: Record<string, any> }} MimeModel
 * @typedef {{
 *   node: HTMLElement,
 *   widgets: readonly unknown[],
 *   isDisposed: boolean,
 *   show(): void,
 *   renderModel(model: MimeModel): Promise<void>,
 * }} Renderer of ipywidgets: a panel that has the view as its widget
 * @typedef {{ createRenderer(mimeType: string, options: unknown): Renderer }} RenderMime
 * @typedef {{ content: { rendermime: RenderMime } }} NotebookPanel
 * @typedef {{
 *   forEach(f: (panel: NotebookPanel) => void): void,
 *   widgetAdded: { connect(f: (tracker: unknown, panel: NotebookPanel) => void): void },
 * }} NotebookTracker
 * @typedef {Record<string, Record<string, { get(): Promise<() => any> }>>} SharedModules
 */
{
  const VIEW = "application/vnd.jupyter.widget-view+json";
  const PICTURES = ["image/png", "image/jpeg"];
  /** How long a view may take before the picture is shown: a view that comes at once flickers. */
  const PATIENCE_MS = 700;

  /** @type {(model: MimeModel) => string | undefined} */
  const typeOf = (model) => PICTURES.find((type) => typeof model.data[type] === "string");

  /** @type {(model: MimeModel) => boolean} */
  const isStream = (model) => String(model.data["text/plain"]).startsWith("GPUStream");

  /** @type {(model: MimeModel, type: string) => HTMLElement} */
  function pictureOf(model, type) {
    const figure = document.createElement("figure");
    figure.className = "gpuview-saved-picture";
    figure.style.margin = "0";
    const image = document.createElement("img");
    image.src = `data:${type};base64,${model.data[type]}`;
    image.alt = String(model.data["text/plain"]);
    image.style.maxWidth = "100%";
    const width = Number(model.metadata[type]?.width);
    if (width > 0) image.width = width;
    const caption = document.createElement("figcaption");
    caption.textContent = "Saved picture. Run the cell to see the stream live.";
    caption.style.color = "var(--jp-ui-font-color2, #616161)";
    caption.style.fontSize = "var(--jp-ui-font-size1, 13px)";
    figure.append(image, caption);
    return figure;
  }

  /** @type {(renderer: Renderer) => void} */
  function showPictureWithoutView(renderer) {
    const render = renderer.renderModel.bind(renderer);
    /** @type {MimeModel | null} */
    let latest = null;
    let isRendering = false;
    renderer.renderModel = async (model) => {
      if (!isStream(model)) return render(model);
      const isShown = isRendering || renderer.widgets.length > 0;
      const isSame = latest?.data[VIEW].model_id === model.data[VIEW].model_id;
      latest = model;
      if (isShown && isSame) return; // Only the picture is new.
      const showPicture = () => {
        if (renderer.isDisposed || renderer.widgets.length > 0) return;
        const type = typeOf(model);
        if (type === undefined) return;
        renderer.show(); // A view that was closed has hidden it.
        // The renderer replaces the content when a view comes.
        renderer.node.replaceChildren(pictureOf(model, type));
      };
      // Without a kernel, the first promise may never be kept.
      const timer = setTimeout(showPicture, PATIENCE_MS);
      isRendering = true;
      try {
        await render(model);
      } finally {
        isRendering = false;
        clearTimeout(timer);
        showPicture();
      }
    };
  }

  /** @type {(panel: NotebookPanel) => void} */
  function watch(panel) {
    const rendermime = panel.content.rendermime;
    // Not a factory: ipywidgets replaces its own each time a kernel connects.
    const create = rendermime.createRenderer.bind(rendermime);
    rendermime.createRenderer = (mimeType, options) => {
      const renderer = create(mimeType, options);
      if (mimeType === VIEW) showPictureWithoutView(renderer);
      return renderer;
    };
  }

  /** @type {SharedModules} */
  let shared = {};

  /** @type {(name: string) => Promise<any>} */
  async function sharedModule(name) {
    const [module] = Object.values(shared[name] ?? {});
    if (!module) throw new Error(`gpuview: JupyterLab does not share ${name}`);
    return (await module.get())();
  }

  async function plugin() {
    const { INotebookTracker } = await sharedModule("@jupyterlab/notebook");
    return {
      id: "gpuview:saved-picture",
      description: "Shows the saved picture of a stream where its live view cannot be shown.",
      autoStart: true,
      requires: [INotebookTracker],
      /** @type {(app: unknown, tracker: NotebookTracker) => void} */
      activate(_app, tracker) {
        tracker.forEach(watch);
        tracker.widgetAdded.connect((_, panel) => watch(panel));
        container.keeps_views = true;
      },
    };
  }

  const container = {
    keeps_views: false,
    /** @type {(modules: SharedModules) => void} */
    init(modules) {
      shared = modules;
    },
    /** @type {(module: string) => Promise<() => object>} */
    async get(module) {
      if (module !== "./extension") throw new Error(`gpuview has no module ${module}`);
      const exports = { __esModule: true, default: await plugin() };
      return () => exports;
    },
  };
  const page = /** @type {{ _JUPYTERLAB?: Record<string, object> }} */ (
    /** @type {unknown} */ (window)
  );
  page._JUPYTERLAB = { ...page._JUPYTERLAB, gpuview: container };
}
