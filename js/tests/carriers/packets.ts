// Packets as the media process sends them.

/** An H.264 keyframe of High profile at level 3.1 with its parameters, as far as they are read. */
export const H264_KEY = [0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1f, 0xac, 0, 0, 1, 0x68, 0xee, 0x3c];

export interface PacketFields {
  readonly codec?: number;
  readonly is_keyframe?: boolean;
  readonly seq?: number;
  readonly timestamp?: number;
  readonly width?: number;
  readonly height?: number;
  readonly tile?: number;
  readonly data?: readonly number[];
}

/** Returns a packet as it crosses a carrier. */
export function packet({
  codec = 0,
  is_keyframe = true,
  seq = 0,
  timestamp = 0,
  width = 640,
  height = 360,
  tile = 0,
  data = is_keyframe ? H264_KEY : [0, 0, 1, 0x41],
}: PacketFields = {}): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(20 + data.length);
  const header = new DataView(message.buffer);
  [1, is_keyframe ? 1 : 0, codec].forEach((value, at) => header.setUint8(at, value));
  header.setUint32(4, seq);
  header.setUint32(8, timestamp);
  header.setUint16(12, width);
  header.setUint16(14, height);
  header.setUint32(16, tile);
  message.set(data, 20);
  return message;
}
