// Timers that end with an AbortSignal, so that nobody has to remember to clear them.

/** Calls `action` in `delay_ms`, unless `stop` is aborted first. */
export function after(delay_ms: number, action: () => void, stop: AbortSignal): void {
  if (stop.aborted) return;
  const cancel = () => clearTimeout(timer);
  const finish = () => {
    stop.removeEventListener("abort", cancel); // The signal may live for days.
    action();
  };
  const timer = setTimeout(finish, delay_ms);
  stop.addEventListener("abort", cancel, { once: true });
}

/** Calls `action` every `period_ms`, first one period from now, until `stop` is aborted. */
export function every(period_ms: number, action: () => void, stop: AbortSignal): void {
  if (stop.aborted) return;
  const timer = setInterval(action, period_ms);
  stop.addEventListener("abort", () => clearInterval(timer), { once: true });
}
