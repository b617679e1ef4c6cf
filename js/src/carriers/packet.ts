// What comes over a carrier in binary messages. Pure. The other half is
// `gpuview/protocol/carrier_packets.py`, which describes the header.

import type { Size } from "../picture_size";

export const PACKET = 1;
export const STILL_PIECE = 2;

/** By the number in the header. */
const CODECS = ["H264", "VP8", "JPEG"] as const;
const HEADER_NBYTES = 20;
const KEYFRAME = 1;
/** The kind of NAL unit that a sequence parameter set is. */
const SPS = 7;

export type Codec = (typeof CODECS)[number];

/** One encoded frame. */
export interface Packet extends Size {
  readonly codec: Codec;
  readonly is_keyframe: boolean;
  /** Counts the packets of this view. */
  readonly seq: number;
  /** RTP's: 90 kHz, in 32 bits. */
  readonly timestamp: number;
  /** The rank in a grid; 0 in other streams. */
  readonly tile: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Reads a packet; returns null if `message` is none. */
export function parsePacket(message: Uint8Array<ArrayBuffer>): Packet | null {
  if (message.length <= HEADER_NBYTES || message[0] !== PACKET) return null;
  const header = new DataView(message.buffer, message.byteOffset, HEADER_NBYTES);
  const codec = CODECS[header.getUint8(2)];
  const [width, height] = [header.getUint16(12), header.getUint16(14)];
  if (codec === undefined || width === 0 || height === 0) return null;
  return {
    codec,
    is_keyframe: codec === "JPEG" || (header.getUint8(1) & KEYFRAME) !== 0,
    seq: header.getUint32(4),
    timestamp: header.getUint32(8),
    width,
    height,
    tile: header.getUint32(16),
    data: message.subarray(HEADER_NBYTES),
  };
}

/** Returns what WebCodecs calls the codec of a keyframe; null if it does not decode it. */
export function codecString({ codec, data }: Packet): string | null {
  switch (codec) {
    case "H264":
      return h264String(data);
    case "VP8":
      return "vp8";
    case "JPEG":
      return null;
  }
}

/** `avc1.PPCCLL`: profile, constraints and level, as the bitstream's parameters have them. */
function h264String(annex_b: Uint8Array): string | null {
  for (let at = 0; at + 6 < annex_b.length; at += 1) {
    const is_start = annex_b[at] === 0 && annex_b[at + 1] === 0 && annex_b[at + 2] === 1;
    if (!is_start || ((annex_b[at + 3] ?? 0) & 0x1f) !== SPS) continue;
    const parameters = Array.from(annex_b.subarray(at + 4, at + 7), hex);
    return `avc1.${parameters.join("")}`;
  }
  return null;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
