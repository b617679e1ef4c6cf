// A carrier's channel: whole messages both ways, in order.

import type {
  PageMessage,
  Ping,
  Problem,
  Received,
  RequestKeyframe,
  WantTier,
  Watch,
} from "../messages";

export type SentMessage = PageMessage | Ping | Watch | Received | RequestKeyframe | WantTier;

export interface ChannelListener {
  /** What is sent from now on arrives, unless the channel closes. */
  readonly onOpen: () => void;
  readonly onText: (text: string) => void;
  readonly onBinary: (message: Uint8Array<ArrayBuffer>) => void;
  /**
   * The other side, or something in between, has ended the channel, and why, if it said so in words
   * for a person. Nothing follows.
   */
  readonly onClosed: (problem: Problem | null) => void;
}

export interface Channel {
  /** Does nothing unless the channel is open. */
  send(message: SentMessage): void;
}

/**
 * Opens a channel, which ends when `stop` is aborted; its listener hears nothing after that. It
 * hears nothing before this returns, either.
 */
export type OpenChannel = (listener: ChannelListener, stop: AbortSignal) => Channel;
