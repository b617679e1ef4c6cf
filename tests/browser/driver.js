// Does what a person does in JupyterLab: window.driver, used by lab.py.
// The first argument of every function is the notebook's path.
window.driver = (() => {
  function find(path) {
    const widgets = window.jupyterapp ? [...window.jupyterapp.shell.widgets("main")] : [];
    return widgets.find((widget) => widget.context?.path === path);
  }

  function panel(path) {
    const found = find(path);
    if (!found) throw new Error(`no notebook ${path} is open`);
    return found;
  }

  function kernel(path) {
    return panel(path).sessionContext.session.kernel;
  }

  function cellModel(path, index) {
    return panel(path).content.model.cells.get(index);
  }

  async function select(path, index) {
    const { content, id } = panel(path);
    window.jupyterapp.shell.activateById(id);
    content.deselectAll();
    content.activeCellIndex = index;
    await content.scrollToItem(index, "auto");
  }

  /** Run a cell to its end; return whether the kernel ran it without an error. */
  async function run(path, index) {
    await select(path, index);
    return await window.jupyterapp.commands.execute("notebook:run-cell");
  }

  const started = new Map(); // by path: the last cell that was started

  return {
    kernelStatus(path) {
      const found = find(path);
      if (!found?.context.isReady || !found.sessionContext.isReady) return null;
      return found.sessionContext.session?.kernel?.status ?? null;
    },

    async open(path) {
      await window.jupyterapp.commands.execute("docmanager:open", { path });
    },

    discardAll() {
      for (const widget of [...window.jupyterapp.shell.widgets("main")]) {
        // Closing it would ask what to do with the changes.
        if (widget.context) widget.dispose();
      }
    },

    kernelId: (path) => kernel(path).id,

    run,

    start(path, index) {
      const cell = { isRunning: true };
      cell.end = run(path, index).finally(() => (cell.isRunning = false));
      started.set(path, cell);
    },

    isRunning: (path) => started.get(path).isRunning,

    waitForEnd: (path) => started.get(path).end,

    outputs: (path, index) => cellModel(path, index).sharedModel.getOutputs(),

    clear(path, index) {
      cellModel(path, index).clearExecution();
    },

    show(path, index) {
      panel(path).content.widgets[index].outputArea.node.scrollIntoView({ block: "center" });
    },

    save: (path) => panel(path).context.save(),

    interrupt: (path) => kernel(path).interrupt(),

    restart: (path) => kernel(path).restart(),

    async closePanel(path) {
      // Otherwise JupyterLab would ask what to do with the changes.
      await panel(path).context.save();
      panel(path).close();
    },

    async python(path, expression) {
      const request = { code: "", silent: true, user_expressions: { value: expression } };
      const reply = await kernel(path).requestExecute(request).done;
      return reply.content.user_expressions.value;
    },
  };
})();
