/** splice-bench as a function: from the command line to the exit code. */
import { Command, Option } from 'commander';
import { SpliceArgumentError } from '../errors.js';
import { BENCH_EXIT } from './bench-context.js';
import type { BenchContext, BenchExitCode, BenchParts } from './bench-context.js';
import { compare, report } from './bench-files.js';
import { list } from './bench-list.js';
import { benchOptions, runOptions } from './bench-options.js';
import type { RawOptions } from './bench-options.js';
import { run } from './bench-run.js';
import { EXIT_HELP } from './environment.js';
import type { Environment } from './environment.js';
import { endedBy } from './failure.js';
import { VERSION } from './version.js';

const EXAMPLES = `
A run measures every contestant in the middle of three network namespaces (client, proxy, server), one at a time, in
interleaved repetitions, and writes tables, results.json, pictures and report.html. It needs root and a C compiler.

Examples:
  $ splice-bench --quick                        all figures, in less than two minutes: does it work, about how fast
  $ splice-bench                                all figures; about half an hour. Leave the machine alone meanwhile
  $ splice-bench --dry-run                      what that would do, and how long it would take
  $ splice-bench --figures b,d --only router,haproxy-splice,ours-packet,ours-splice
  $ splice-bench --modes connect32,down8,fetch:64K --only microsocks,ours-splice --seconds 3
                                                while you work: trials of your own
  $ splice-bench --only "ours-packet,ours-packet --packet-after-time 20ms" --modes fetch
                                                what a setting does
  $ splice-bench compare old/results.json new/results.json
                                                what moved beyond noise
  $ splice-bench list                           contestants (and what to install), figures, modes

Ctrl-C ends a run; what was measured until then is written, marked as incomplete.
${EXIT_HELP.replace(/\.$/, '')},
3 trials failed, had errors or lost or damaged bytes.
`;

export async function benchMain(environment: Environment, parts: BenchParts): Promise<BenchExitCode> {
  const context: BenchContext = { ...parts, environment };
  let code: BenchExitCode = BENCH_EXIT.ok;
  const program = buildProgram(context, (result) => (code = result));
  try {
    checkCommand(program, environment.argv[0]);
    await program.parseAsync([...environment.argv], { from: 'user' });
    return code;
  } catch (error) {
    return endedBy(error, 'splice-bench', environment.stderr);
  }
}

/** To commander it would be a surplus argument of `run`. */
function checkCommand({ commands }: Command, word: string | undefined): void {
  if (word === undefined || word.startsWith('-') || word === 'help') return;
  const names = commands.map((command) => command.name());
  if (names.includes(word)) return;
  throw new SpliceArgumentError(`no command "${word}"; there are ${names.join(', ')}; --help explains them`);
}

function buildProgram(context: BenchContext, finished: (code: BenchExitCode) => void): Command {
  const { stdout, stderr } = context.environment;
  const program = new Command('splice-bench')
    .description("Measures symsplice's backends beside a plain router and other proxies, and draws the figures.")
    .version(VERSION, '--version', 'Print the version and exit.')
    .helpOption('-h, --help', 'Print this help and exit.')
    .exitOverride()
    .configureOutput({ writeOut: (text) => void stdout.write(text), writeErr: (text) => void stderr.write(text) })
    .showHelpAfterError('(splice-bench --help explains everything)');
  const measuring = program
    .command('run', { isDefault: true })
    .description('Measure. This is what splice-bench does when no command is given.');
  for (const option of runOptions()) measuring.addOption(option);
  measuring.action(async (raw: RawOptions) => finished(await run(context, benchOptions(raw))));
  program
    .command('compare')
    .description('Show what moved beyond noise between two files of results.')
    .argument('<OLD>', 'results.json of the older run')
    .argument('<NEW>', 'results.json of the newer run')
    .addOption(new Option('--absolute', 'Compare the numbers themselves, not the ratios to the router.'))
    .addOption(new Option('--json', 'Print JSON instead of tables.'))
    .action(async (older: string, newer: string, options: { readonly absolute?: boolean; readonly json?: boolean }) =>
      finished(
        await compare(context, older, newer, { absolute: options.absolute === true, json: options.json === true }),
      ),
    );
  program
    .command('report')
    .description('Write tables, pictures and report.html again from a file of results.')
    .argument('<RESULTS>', 'results.json of a run')
    .addOption(new Option('--out <DIR>', 'Where they go (default: beside the file).'))
    .action(async (file: string, { out }: { readonly out?: string }) => finished(await report(context, file, out)));
  program
    .command('list')
    .description('Show contestants, and why one of them cannot take part here; figures; modes.')
    .action(async () => finished(await list(context)));
  // Whoever asks for help wants to see the options of a run, which are not the program's own.
  const options = (): string => measuring.helpInformation().replace(/^[\s\S]*?(?=Options:)/, '');
  return program.addHelpText('after', () => `\n${options().replace('Options:', 'Options of a run:')}${EXAMPLES}`);
}
