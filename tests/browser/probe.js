// Reads what the page shows from its pixels: window.probe.
window.probe = (() => {
  const CELL = 16; // side of one bit's square in pixels; survives 4:2:0 and strong quantisation
  const BITS = 40;
  const SYNC = 0xa5;

  function drawn(source, width, height) {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(source, 0, 0, width, height, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  }

  function now() {
    return performance.timeOrigin + performance.now();
  }

  // --- pixels ----------------------------------------------------------------------------------

  /** Return the colour, [r, g, b], of each [x, y] of the frame that a video or canvas shows. */
  function pixels(screen, points) {
    const image = drawn(
      screen,
      screen.videoWidth ?? screen.width,
      screen.videoHeight ?? screen.height,
    );
    return points.map(([x, y]) => [...image.data.slice(4 * (y * image.width + x)).slice(0, 3)]);
  }

  /** Return the SHA-256 of a canvas's pixels, three bytes each, in hexadecimal digits. */
  async function digest(canvas) {
    const { data } = drawn(canvas, canvas.width, canvas.height);
    const rgb = data.filter((_, index) => index % 4 !== 3);
    const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", rgb));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // --- frames shown ----------------------------------------------------------------------------

  const counts = new WeakMap(); // by view: the number of frames, and the video that is being counted

  /**
   * Return how many frames a view has shown since the first call.
   *
   * Call it repeatedly, because a view that reconnects gets another video. Each video has one loop:
   * a second one would count its frames twice.
   */
  function framesShown(root) {
    if (!counts.has(root)) counts.set(root, { frames: 0, video: null });
    const count = counts.get(root);
    const video = root.querySelector("video.gpuview-video");
    if (video !== null && video !== count.video) {
      count.video = video;
      const each = () => {
        count.frames += 1;
        video.requestVideoFrameCallback(each);
      };
      video.requestVideoFrameCallback(each);
    }
    return count.frames;
  }

  // --- markers ---------------------------------------------------------------------------------

  function bits(image, row) {
    let value = 0;
    for (let index = 0; index < BITS; index++) {
      const x = index * CELL + CELL / 2;
      const y = row * CELL + CELL / 2;
      // JavaScript's shifts do not hold 40 bits.
      value = value * 2 + (image.data[4 * (y * image.width + x) + 1] > 127 ? 1 : 0);
    }
    return value;
  }

  /** Return the frame's counter, time code and number of clicks, or null if it has none. */
  function marker(source) {
    const image = drawn(source, BITS * CELL, 3 * CELL);
    const first = bits(image, 0);
    if (Math.floor(first / 2 ** 32) !== SYNC) return null;
    return { counter: first % 2 ** 32, stampUs: bits(image, 1), clicks: bits(image, 2) };
  }

  // When shown, ms on this page's clock; counter; time code, us; number of clicks.
  const samples = [];
  const clicks = []; // when each was made, ms on this page's clock
  let lastCounter = null;

  function sample(source) {
    const at = now();
    const read = marker(source);
    if (read === null || read.counter === lastCounter) return;
    lastCounter = read.counter;
    samples.push([at, read.counter, read.stampUs, read.clicks]);
  }

  function followVideo(video) {
    const each = () => {
      sample(video);
      if (video.isConnected) video.requestVideoFrameCallback(each);
      else look();
    };
    video.requestVideoFrameCallback(each);
  }

  function followCanvas(canvas) {
    const each = () => {
      if (canvas.width >= BITS * CELL) sample(canvas);
      if (canvas.isConnected) requestAnimationFrame(each);
      else look();
    };
    requestAnimationFrame(each);
  }

  function followImage(image) {
    let lastSource = null;
    const each = () => {
      if (image.complete && image.naturalWidth >= BITS * CELL && image.src !== lastSource) {
        lastSource = image.src;
        sample(image);
      }
      if (image.isConnected) requestAnimationFrame(each);
      else look();
    };
    requestAnimationFrame(each);
  }

  function look() {
    const picture = document.querySelector(".gpuview-video, .renderview-wrapper img");
    if (picture === null) requestAnimationFrame(look);
    else if (picture instanceof HTMLVideoElement) followVideo(picture);
    else if (picture instanceof HTMLCanvasElement) followCanvas(picture);
    else followImage(picture);
  }

  /**
   * Record every click but those on buttons, and the marker of every frame that the page's first picture shows from now on.
   *
   * All are read in the browser's rendering step, just before it paints: a video in its frame
   * callback, the canvas of another carrier and an image in an animation frame.
   */
  function watch() {
    const note = ({ target, timeStamp }) =>
      target.closest("button") ?? clicks.push(performance.timeOrigin + timeStamp);
    window.addEventListener("pointerdown", note, { capture: true });
    look();
  }

  return { pixels, digest, framesShown, watch, samples, clicks };
})();
