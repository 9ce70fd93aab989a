// Runs when the package is installed: is there an addon that loads here? If the prebuilt one does
// not (another platform, an older C library), builds from the sources that the package carries.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);

function loads(file) {
  if (!existsSync(file)) return false;
  try {
    require(file);
    return true;
  } catch (error) {
    console.log(`symsplice: ${file} does not load here: ${error.message.split('\n')[0]}`);
    return false;
  }
}

function build() {
  console.log('symsplice: building the addon from source (about a minute)');
  const cmakeJs = require.resolve('cmake-js/package.json');
  const built = spawnSync(process.execPath, [join(dirname(cmakeJs), 'bin', 'cmake-js'), 'compile'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (built.status === 0) return true;
  console.error(
    'symsplice: the addon could not be built. It needs Linux and, on Debian or Ubuntu,\n' +
      '  apt-get install g++ make cmake clang llvm libbpf-dev libelf-dev zlib1g-dev libuv1-dev\n' +
      'Then run: npm rebuild symsplice',
  );
  return false;
}

// A checkout is built by scripts/build, which "npm start" and "npm test" call.
const isCheckout = existsSync(join(root, 'tsconfig.json'));
const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'symsplice.node');
if (!isCheckout && !loads(prebuilt) && !build()) process.exitCode = 1;
