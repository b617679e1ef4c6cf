// A page that shows one stream by the real front end: window.lab, used by page.py and firefox.py.
//
// The model is anywidget's, with a comm that does not need the network under test: what the page
// says goes to window.toKernel where the browser has it, and else waits in a box that is emptied
// by hand; what the kernel says comes through `hear`.
window.lab = (() => {
  const outbox = [];
  const connections = []; // every RTCPeerConnection, for what only the browser itself can tell
  const views = [];
  let model = null;
  let render = null;
  let end = null;

  class Recorded extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      connections.push(this);
    }
  }
  window.RTCPeerConnection = Recorded;

  function say(message) {
    if (window.toKernel) window.toKernel(message);
    else outbox.push(message);
  }

  function makeModel(traits) {
    const listeners = new Map();
    const changed = new Set();
    const emit = (event, content, buffers) => {
      for (const callback of [...(listeners.get(event) ?? [])]) callback(content, buffers);
    };
    return {
      get: (name) => traits[name],
      set(name, value) {
        traits[name] = value;
        changed.add(name);
        emit(`change:${name}`, value);
      },
      save_changes() {
        for (const name of changed) say({ trait: name, value: traits[name] });
        changed.clear();
      },
      send: (content) => say({ custom: content }),
      on(event, callback) {
        if (!listeners.has(event)) listeners.set(event, new Set());
        listeners.get(event).add(callback);
      },
      off(event, callback) {
        listeners.get(event)?.delete(callback);
      },
      hear(news) {
        for (const [name, value] of Object.entries(news.traits)) {
          traits[name] = value;
          emit(`change:${name}`, value);
        }
        news.messages.forEach((message, index) => {
          emit("msg:custom", message, news.buffers[index].map(decoded));
        });
      },
    };
  }

  function decoded(base64) {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    return new DataView(bytes.buffer);
  }

  /** Load the front end, and initialise it with the traits as the kernel has them. */
  async function start(traits) {
    model = makeModel(traits);
    const widget = (await import("/widget.js")).default();
    end = widget.initialize({ model });
    render = (el) => widget.render({ model, el });
  }

  /** Open one more view, as displaying the stream once more would; returns its number. */
  function open() {
    const el = document.createElement("div");
    document.body.append(el);
    const view = { el, shownAt: [], states: [], opened: performance.now(), videos: new Set() };
    new MutationObserver(() => follow(view)).observe(el, {
      attributes: true, attributeFilter: ["data-state"], childList: true, subtree: true,
    });
    view.close = render(el);
    return views.push(view) - 1;
  }

  /** Remove every view and the model, as clearing the outputs and closing the notebook does. */
  function close() {
    for (const view of views) view.close();
    end();
  }

  function follow(view) {
    const state = view.el.dataset.state;
    if (state !== view.states.at(-1)?.[1]) view.states.push([sinceOpened(view), state]);
    for (const video of view.el.querySelectorAll("video")) {
      if (!view.videos.has(video)) watch(view, video);
    }
  }

  // One loop a video: a second one would count its frames twice.
  function watch(view, video) {
    view.videos.add(video);
    const each = () => {
      view.shownAt.push(sinceOpened(view));
      video.requestVideoFrameCallback(each);
    };
    video.requestVideoFrameCallback(each);
  }

  function sinceOpened(view) {
    return performance.now() - view.opened;
  }

  /** What a view has shown up to now; all times in ms since it was opened. */
  function look(index) {
    const view = views[index];
    return {
      state: view.el.dataset.state ?? "",
      data: { ...view.el.dataset },
      text: view.el.innerText,
      states: view.states,
      now: sinceOpened(view),
      frames: view.shownAt.length,
      first: view.shownAt[0] ?? null,
      last: view.shownAt.at(-1) ?? null,
    };
  }

  /** The longest time without a frame from `since` until now, both counted as frames. */
  function longestGap(index, since) {
    const view = views[index];
    const times = [since, ...view.shownAt.filter((at) => at > since), sinceOpened(view)];
    return Math.max(...times.slice(1).map((at, i) => at - times[i]));
  }

  /** The statistics of the newest connection, as a plain list. */
  async function stats() {
    const report = await connections.at(-1)?.getStats();
    return report ? [...report.values()] : [];
  }

  return {
    start,
    open,
    look,
    longestGap,
    stats,
    connections,
    hear: (news) => model.hear(news),
    close,
    takeOutbox: () => outbox.splice(0),
  };
})();
