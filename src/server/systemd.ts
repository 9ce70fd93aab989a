/**
 * What systemd expects of a service: sd_notify(3) messages and sockets handed over by socket activation
 * (sd_listen_fds(3)). Datagram unix sockets are not in Node, so the sender is injected by whoever has one.
 */

/** Sends one datagram to a unix socket; `@` first means the abstract namespace. May throw; nothing waits for it. */
export type SendNotification = (path: string, message: string) => void;

type Environment = Record<string, string | undefined>;

/** A listening socket that systemd opened for us; `name` is FileDescriptorName= of the socket unit. */
export interface InheritedSocket {
  readonly fd: number;
  readonly name: string;
}

/** The first descriptor that systemd passes (SD_LISTEN_FDS_START). */
const FIRST_DESCRIPTOR = 3;

/**
 * The sockets meant for this process. The variables are removed from `env`, so that no child takes them for its own.
 * Empty if there are none, or if they are for another process (a wrapper that forks instead of exec).
 */
export function takeInheritedSockets(env: Environment, pid: number): InheritedSocket[] {
  const { LISTEN_FDS: count, LISTEN_PID: owner, LISTEN_FDNAMES: names } = env;
  delete env['LISTEN_FDS'];
  delete env['LISTEN_PID'];
  delete env['LISTEN_FDNAMES'];
  if (count === undefined || !/^\d{1,4}$/.test(count) || owner !== String(pid)) return [];
  const nameList = names === undefined ? [] : names.split(':');
  return Array.from({ length: Number(count) }, (_, index) => ({
    fd: FIRST_DESCRIPTOR + index,
    name: nameList[index] || 'unknown',
  }));
}

/** Tells systemd about the life of the service. Without NOTIFY_SOCKET every method does nothing. */
export class SystemdNotifier {
  readonly #send: (message: string) => void;
  readonly #watchdogMs: number | undefined;
  #watchdog: NodeJS.Timeout | undefined;

  /** `failed` hears about messages that could not be sent; the service goes on without. */
  constructor(options: {
    env: Environment;
    pid: number;
    send: SendNotification | undefined;
    failed: (error: unknown) => void;
  }) {
    const { env, pid, send, failed } = options;
    const path = env['NOTIFY_SOCKET'];
    this.#send = (message) => {
      if (!path || send === undefined) return;
      try {
        send(path, message);
      } catch (error) {
        failed(error);
      }
    };
    this.#watchdogMs = path ? watchdogInterval(env, pid) : undefined;
  }

  /** Serving; `status` is shown by `systemctl status`. Starts the watchdog's keep-alives if systemd wants them. */
  ready(status: string): void {
    this.#send(`READY=1\nSTATUS=${oneLine(status)}`);
    if (this.#watchdogMs !== undefined && this.#watchdog === undefined) {
      // The timer runs in the event loop on purpose: a loop that hangs stops the keep-alives.
      this.#watchdog = setInterval(() => this.#send('WATCHDOG=1'), this.#watchdogMs);
      this.#watchdog.unref();
    }
  }

  status(status: string): void {
    this.#send(`STATUS=${oneLine(status)}`);
  }

  /** The configuration is being read again; {@link ready} ends this state. */
  reloading(): void {
    // Type=notify-reload needs the time in the same message (systemd 253); CLOCK_MONOTONIC, microseconds.
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** The service is on its way out; a drain may still take its time. */
  stopping(status: string): void {
    this.#send(`STOPPING=1\nSTATUS=${oneLine(status)}`);
  }

  /** Ends the keep-alives. */
  close(): void {
    clearInterval(this.#watchdog);
    this.#watchdog = undefined;
  }
}

/** Half of WATCHDOG_USEC in milliseconds, as sd_watchdog_enabled(3) advises; undefined if no watchdog wants us. */
function watchdogInterval(env: Environment, pid: number): number | undefined {
  const microseconds = Number(env['WATCHDOG_USEC'] ?? '');
  const owner = env['WATCHDOG_PID'];
  if (!Number.isSafeInteger(microseconds) || microseconds <= 0) return undefined;
  if (owner !== undefined && owner !== String(pid)) return undefined;
  return Math.max(1, Math.floor(microseconds / 2000));
}

/** A line break would start another assignment. */
function oneLine(status: string): string {
  return status.replace(/[\r\n]+/g, ' ');
}
