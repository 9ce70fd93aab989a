/** Runs one guest under QEMU: the kernel's console goes to a file, the second serial port to a callback. */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';

/**
 * `tcg` emulates two processors side by side, which finds races. `simulated` emulates one whose clock counts its instructions
 * and skips idle time: what else the machine does no longer shows in any time that the guest measures.
 */
export type Accelerator = 'kvm' | 'tcg' | 'simulated';

const machines: Readonly<Record<Accelerator, readonly string[]>> = {
  kvm: ['-accel', 'kvm', '-cpu', 'host', '-smp', '2'],
  // Emulated wide vectors cost more than they save.
  tcg: ['-accel', 'tcg,thread=multi', '-cpu', 'max,-avx,-avx2', '-smp', '2'],
  simulated: ['-accel', 'tcg,thread=single', '-cpu', 'max,-avx,-avx2', '-smp', '1', '-icount', 'shift=0,sleep=off'],
};

export interface Guest {
  readonly kernel: string;
  readonly archive: string;
  readonly disk: string;
  /** Gets what the kernel says. */
  readonly consoleFile: string;
  readonly accelerator: Accelerator;
  readonly memoryMiB: number;
  readonly limitMs: number;
  /** Called with each line of the port that the tests write to, and the processor time that the guest has taken so far. */
  readonly line: (line: string, processorSeconds: number) => void;
  /** If the port has said nothing after so long, the guest is ended. */
  readonly firstLineMs?: number;
}

export interface Ended {
  readonly console: string;
  /** Whether the port said anything at all. */
  readonly spoke: boolean;
  readonly how: 'by itself' | 'timed out' | 'silent' | 'failed';
  readonly problem: string;
}

export function kvmUsable(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Every warning of the kernel ends the guest at once, so that none is lost; and memory that was freed or overrun is
 * noticed by the allocator. A machine that many share may stand still for seconds, which is no lockup of the guest.
 */
const commandLine = [
  'console=ttyS0',
  'rdinit=/init',
  'loglevel=5',
  'panic=-1',
  'panic_on_warn=1',
  'oops=panic',
  'slub_debug=FZ',
  'nowatchdog',
  'rcupdate.rcu_cpu_stall_timeout=300',
  'random.trust_cpu=on',
  'net.ifnames=0',
  'mitigations=off',
];

/** User and system time of a process, all threads; proc(5) has them behind the name, which may contain anything. */
function processorSeconds(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) / clockTicks;
  } catch {
    return Number.NaN;
  }
}

/** USER_HZ, the same on every x86-64. */
const clockTicks = 100;

export function runGuest(guest: Guest): Promise<Ended> {
  const args = [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ['-machine', 'q35', ...machines[guest.accelerator], '-m', String(guest.memoryMiB)],
    ['-kernel', guest.kernel, '-initrd', guest.archive, '-append', commandLine.join(' ')],
    ['-drive', `file=${guest.disk},format=raw,if=virtio,readonly=on,file.locking=off`],
    ['-serial', `file:${guest.consoleFile}`, '-serial', 'stdio'],
  ].flat();
  return new Promise((resolve) => {
    const started = performance.now();
    const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const said: Buffer[] = [];
    let rest = '';
    let spoke = false;
    let how: Ended['how'] = 'by itself';
    const end = (why: Ended['how']): void => {
      how = why;
      child.kill('SIGKILL');
    };
    const timers = [setTimeout(end, guest.limitMs, 'timed out')];
    if (guest.firstLineMs !== undefined) {
      timers.push(setTimeout(() => spoke || end('silent'), guest.firstLineMs));
    }
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
    child.stdout.on('data', (chunk: Buffer) => {
      spoke = true;
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      const taken = processorSeconds(child.pid);
      for (const line of lines) guest.line(Buffer.from(line, 'latin1').toString(), taken);
    });
    const onExit = (): void => void child.kill('SIGKILL');
    process.on('exit', onExit);
    const finish = (problem: string): void => {
      timers.forEach(clearTimeout);
      process.off('exit', onExit);
      if (rest !== '') guest.line(rest, Number.NaN);
      const after = `after ${((performance.now() - started) / 1000).toFixed(1)} s`;
      const console = existsSync(guest.consoleFile) ? readFileSync(guest.consoleFile, 'latin1') : '';
      resolve({ console, spoke, how, problem: problem === '' ? '' : `${problem} ${after}` });
    };
    child.once('error', (error) => {
      how = 'failed';
      finish(error.message);
    });
    child.once('close', (code, signal) => {
      if (how === 'by itself' && code !== 0) how = 'failed';
      const text = Buffer.concat(said).toString().trim();
      finish(how === 'by itself' ? '' : `qemu: ${how}, ${signal ?? `exit code ${code}`} ${text}`);
    });
  });
}
