// Stills as the media process sends them.

/** A PNG's first bytes, as many as are asked for. */
export function png(width: number, height: number, nbytes: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(Math.max(nbytes, 24));
  const view = new DataView(whole.buffer);
  view.setUint32(12, 0x49484452);
  view.setUint32(16, width);
  view.setUint32(20, height);
  return whole.slice(0, nbytes);
}

export function piece(
  timestamp: number,
  nbytes: number,
  offset: number,
  part: Uint8Array,
): ArrayBuffer {
  const message = new Uint8Array(12 + part.length);
  const header = new DataView(message.buffer);
  [timestamp, nbytes, offset].forEach((value, index) => header.setUint32(4 * index, value));
  message.set(part, 12);
  return message.buffer;
}
