// Reads time codes from the videos of a page, and the browser's statistics: window.bench.
window.bench = (() => {
  const CELLS = 40; // bits of a marker's row, across the whole width
  const SYNC = 0xa5;
  const samples = []; // [when shown, ms on this page's clock; counter; time code, us]
  const stats = []; // every quarter of a second, what the browser says about the video
  const problems = new Set();

  const now = () => performance.timeOrigin + performance.now();

  function bits(luma, stride, cell, row) {
    let value = 0;
    const line = (row * cell + cell / 2) * stride;
    for (let index = 0; index < CELLS; index++) {
      // JavaScript's shifts do not hold 40 bits.
      value = value * 2 + (luma[line + index * cell + cell / 2] > 127 ? 1 : 0);
    }
    return value;
  }

  /** Read the marker of the shown frame: only its rows are copied, and nothing is converted. */
  async function read(video) {
    const frame = new VideoFrame(video);
    try {
      const { width } = frame.visibleRect;
      const cell = width / CELLS;
      const options = { rect: { x: 0, y: 0, width, height: 2 * cell } };
      const bytes = new Uint8Array(frame.allocationSize(options));
      const [plane] = await frame.copyTo(bytes, options); // luma comes first
      const luma = bytes.subarray(plane.offset);
      const first = bits(luma, plane.stride, cell, 0);
      if (Math.floor(first / 2 ** 32) !== SYNC) return null;
      return [first % 2 ** 32, bits(luma, plane.stride, cell, 1)];
    } finally {
      frame.close();
    }
  }

  const watched = new Set();
  let lastCounter = null;

  function watch(video) {
    if (watched.has(video)) return;
    watched.add(video);
    const each = async () => {
      const at = now();
      video.requestVideoFrameCallback(each);
      try {
        const marker = await read(video);
        if (marker === null || marker[0] === lastCounter) return;
        lastCounter = marker[0];
        samples.push([at, ...marker]);
      } catch (error) {
        problems.add(String(error));
      }
    };
    video.requestVideoFrameCallback(each);
  }

  async function look() {
    for (const video of document.querySelectorAll("video")) watch(video);
    for (const entry of await lab.stats()) {
      if (entry.type === "inbound-rtp" && entry.kind === "video") stats.push({ at: now(), ...entry });
    }
  }

  /** Begin; videos that come later are watched, too. */
  function start() {
    setInterval(look, 250);
  }

  /** Show what a server sends that knows nothing of gpuview; returns the offer. */
  async function offer(iceServers, address) {
    const connection = new RTCPeerConnection({ iceServers });
    const transceiver = connection.addTransceiver("video", { direction: "recvonly" });
    const { codecs } = RTCRtpReceiver.getCapabilities("video");
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => /H264|rtx/i.test(mimeType)));
    const video = document.createElement("video");
    video.muted = true;
    video.style.maxWidth = "100%";
    video.srcObject = new MediaStream([transceiver.receiver.track]);
    document.body.append(video);
    video.play();
    await connection.setLocalDescription();
    await new Promise((done) => {
      connection.addEventListener("icegatheringstatechange", () => {
        if (connection.iceGatheringState === "complete") done();
      });
    });
    // The server would look .local names up for seconds.
    return connection.localDescription.sdp.replace(/\S+\.local/g, address);
  }

  const answer = (sdp) => lab.connections.at(-1).setRemoteDescription({ type: "answer", sdp });

  return { start, offer, answer, samples, stats, problems: () => [...problems] };
})();
