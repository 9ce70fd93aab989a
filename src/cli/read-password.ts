/** Reads a password: twice from a terminal that shows nothing, or one line from a pipe or file. */
import { StringDecoder } from 'node:string_decoder';
import { SpliceError } from '../errors.js';
import type { Environment } from './environment.js';

/** More than SOCKS can carry (RFC 1929: 255 bytes) is refused later; this only bounds what is kept. */
const MAX_INPUT = 4096;

type Terminal = Pick<Environment, 'stdin' | 'stderr'>;

/** Prompts go to stderr, so that stdout holds nothing but the result. @throws SpliceError. */
export async function readPassword(terminal: Terminal): Promise<string> {
  if (terminal.stdin.isTTY !== true || terminal.stdin.setRawMode === undefined) return readLine(terminal.stdin);
  const first = await promptHidden(terminal, 'Password: ');
  const second = await promptHidden(terminal, 'Again: ');
  if (first === second) return first;
  throw new SpliceError('ERR_SPLICE_ARGUMENT', 'the passwords differ; nothing was changed, try again');
}

async function readLine(stdin: Environment['stdin']): Promise<string> {
  const decoder = new StringDecoder('utf8');
  let text = '';
  for await (const chunk of stdin) {
    text += typeof chunk === 'string' ? chunk : decoder.write(chunk as Buffer);
    if (text.includes('\n') || text.length > MAX_INPUT) break;
  }
  return (text.split('\n')[0] ?? '').replace(/\r$/, '');
}

function promptHidden({ stdin, stderr }: Terminal, prompt: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const decoder = new StringDecoder('utf8');
    const typed: string[] = [];
    const finish = (settle: () => void) => {
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      stdin.setRawMode?.(false);
      stdin.pause();
      stderr.write('\n');
      settle();
    };
    const abort = () => finish(() => reject(new SpliceError('ERR_SPLICE_ARGUMENT', 'no password was given')));
    const onEnd = abort;
    const onData = (chunk: Buffer | string) => {
      const characters = [...(typeof chunk === 'string' ? chunk : decoder.write(chunk))];
      for (const [index, character] of characters.entries()) {
        // In raw mode the terminal leaves line editing and Ctrl-C to us.
        if (character === '\r' || character === '\n') {
          // What was typed ahead belongs to the next prompt.
          const rest = characters.slice(index + 1).join('');
          finish(() => {
            if (rest !== '') stdin.unshift(Buffer.from(rest));
            resolve(typed.join(''));
          });
          return;
        }
        if (character === '\u0003' || character === '\u0004') return abort();
        if (character === '\u007f' || character === '\b') typed.pop();
        else if (character === '\u0015') typed.length = 0;
        else if (character >= ' ' && typed.length < MAX_INPUT) typed.push(character);
      }
    };
    stderr.write(prompt);
    stdin.setRawMode?.(true);
    stdin.on('data', onData);
    stdin.on('end', onEnd);
    stdin.resume();
  });
}
