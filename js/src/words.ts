// What is said to a person.

/** Three sentences for a person, the same that the kernel's tracebacks and log carry. */
export interface Words {
  readonly problem: string;
  readonly expected: string;
  readonly fix: string;
}

/** Something that went wrong on the way to a connection, and need not be its end. */
export interface Trouble {
  /**
   * turn, stun: a server of this page. candidate: one of the kernel's that this browser refuses.
   * kernel: on the kernel's side.
   */
  readonly kind: "turn" | "stun" | "candidate" | "kernel";
  readonly words: Words;
}

/** Whether it is worth a note only: most connections do without. */
export function isMinor({ kind }: Trouble): boolean {
  return kind === "stun" || kind === "candidate";
}

/** Returns its words, which say whose trouble it is. */
export function told({ kind, words }: Trouble): Words {
  return kind === "kernel"
    ? { ...words, problem: `on the kernel's side: ${words.problem}` }
    : words;
}

/** Returns `now` in the order in which its members became known, given what was `known` before. */
export function inOrderOfNews(
  known: readonly Trouble[],
  now: readonly Trouble[],
): readonly Trouble[] {
  const isKnown = (trouble: Trouble) => known.some((other) => areSame(trouble, other));
  return [
    ...known.filter((trouble) => now.some((other) => areSame(trouble, other))),
    ...now.filter((trouble) => !isKnown(trouble)),
  ];
}

function areSame(one: Trouble, other: Trouble): boolean {
  return one.kind === other.kind && one.words.problem === other.words.problem;
}
