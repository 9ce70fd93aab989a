/**
 * Why a flow is not, or not yet, carried by the packet or module backend, in words for people: the answers of program
 * `control`, of the kernel module and of the addon, as `splice-ctl flows` and the access log show them.
 */
import { PACKET_ANSWER_NAMES, type PacketAnswer } from '../abi.gen.js';
import { PACKET_ANSWERS_NATIVE, PACKET_STATUS } from '../native.js';
import type { Carriage, Refusal } from './backend.js';
import type { PacketChoice } from './packet-options.js';

/** Backends whose flows begin as those of splice. */
export type KernelBackendName = 'packet' | 'module';

const ANSWERS: Record<PacketAnswer, string> = {
  done: 'it went back to splice',
  'not-yet': 'its local sockets did not come to rest in time',
  'fast-already': 'it ended while it went over',
  ended: 'it ended while it went over',
  'no-client': "the client's connection is not established any more",
  'no-server': "the server's connection is not established any more",
  timestamps: 'only one side speaks TCP timestamps',
  authenticated: 'TCP-MD5 or TCP-AO signs the segments',
  ulp: 'the kernel itself speaks a protocol on the connection, such as TLS',
  mptcp: 'a Multipath TCP connection',
  local: 'one end is on this host: its segments come by no interface',
  'key-taken': 'a flow with the same addresses and ports exists',
  'map-full': 'all places for flows are taken: raise --max-flows (packet.flows)',
  'bad-request': 'the addon and the BPF program do not understand each other: build both again',
  'small-segments': 'one side takes smaller segments than the other can be told',
  tunneled: 'a route leads through a tunnel or IPsec',
  'accurate-ecn': 'one side speaks Accurate ECN, whose counters are of one connection',
};

const NATIVE_ANSWERS: Record<keyof typeof PACKET_ANSWERS_NATIVE, string> = {
  FOREIGN_PORT:
    'the connection to the server has none of our source ports: none was free, or intendSplice() was not called before it connected',
  FAMILIES: 'one side speaks IPv4, the other IPv6',
  NOT_SEEN: 'segments of one side come by no interface that is watched, or are changed on their way',
  CONTROL_FAILED: 'the kernel refused to run program control: the process lacks memory or a privilege',
  MODULE_FAILED: 'the kernel module could not be asked: memory or a privilege is lacking, or it is of another version',
  OTHER_NAMESPACE: 'a connection of another network namespace',
  MODULE_GONE: 'symsplice.ko was unloaded, or replaced by another version, since the server started',
};

/** Answers that mean something else to who loads the module. */
const MODULE_ANSWERS: Partial<Record<PacketAnswer, string>> = {
  'no-client': "the client's connection is not established any more, or no route leads to it",
  'no-server': "the server's connection is not established any more, or no route leads to it",
  'map-full': 'all places for flows are taken: raise parameter flows of symsplice.ko',
  'bad-request': 'the addon and the kernel module do not understand each other: build both again',
};

export function wordsOf(answer: number, backend: KernelBackendName = 'packet'): string {
  const name = PACKET_ANSWER_NAMES[answer];
  if (name !== undefined) return (backend === 'module' ? MODULE_ANSWERS[name] : undefined) ?? ANSWERS[name];
  for (const key of Object.keys(PACKET_ANSWERS_NATIVE) as (keyof typeof PACKET_ANSWERS_NATIVE)[]) {
    if (PACKET_ANSWERS_NATIVE[key] === answer) return NATIVE_ANSWERS[key];
  }
  return `for a reason that this version has no words for (${answer})`;
}

/** What carries a flow of such a backend, by its status and latest answer: each object is made once and shared. */
export class Carriages {
  readonly #backend: KernelBackendName;
  readonly #better: readonly Refusal[];
  readonly #young: Carriage;
  readonly #installed: Carriage;
  readonly #refused = new Map<number, Carriage>();

  /** `better`: backends that would have come first, and why the machine has them not. */
  constructor(
    backend: KernelBackendName,
    { afterBytes, afterMs }: Pick<PacketChoice, 'afterBytes' | 'afterMs'>,
    patient = false,
    better: readonly Refusal[] = [],
  ) {
    this.#backend = backend;
    this.#better = better;
    this.#installed = Object.freeze({ backend, refusals: Object.freeze([...better]) });
    const when = [
      ...(Number.isFinite(afterBytes) ? [`after ${afterBytes} bytes`] : []),
      ...(Number.isFinite(afterMs) ? [`when it is ${afterMs} ms old`] : []),
    ];
    // The numbers are those of addon/recovery.cc.
    const later = patient ? '; on a way of 10 ms or more, after 4 MiB or 10 s without a loss' : '';
    this.#young = this.#bySplice(
      when.length === 0 ? 'young: it never goes over' : `young: it goes over ${when.join(', or ')}${later}`,
    );
  }

  of(status: number, answer: number): Carriage {
    switch (status) {
      case PACKET_STATUS.young:
        return this.#young;
      case PACKET_STATUS.refused: {
        let carriage = this.#refused.get(answer);
        if (carriage === undefined)
          this.#refused.set(answer, (carriage = this.#bySplice(wordsOf(answer, this.#backend))));
        return carriage;
      }
      default:
        return this.#installed;
    }
  }

  /** The relay of such a backend is the splice backend's until a flow goes over. */
  #bySplice(reason: string): Carriage {
    const refusals = Object.freeze([...this.#better, Object.freeze({ backend: this.#backend, reason })]);
    return Object.freeze({ backend: 'splice', refusals });
  }
}
