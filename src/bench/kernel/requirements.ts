/** What the proxy host must have before the packet backend's own cost can be read there. */
import type { Lab } from '../model.js';

const CHECK = `
[ "$(id -u)" = 0 ] || echo 'root is needed on the proxy host'
for program in bpftool tc cc; do
  command -v "$program" >/dev/null || echo "$program is not installed on the proxy host; scripts/setup --bench installs it"
done
[ "$(cat /proc/sys/kernel/bpf_stats_enabled)" != 1 ] ||
  echo 'BPF statistics are on for the whole proxy host and would be in every figure; sysctl -w kernel.bpf_stats_enabled=0'
`;

/** Why not, with the next step; undefined if all is there. */
export async function missingForKernel(lab: Lab): Promise<string | undefined> {
  const { out, err, code } = await lab.proxy.run(['sh', '-c', CHECK], { timeoutMs: 15_000 });
  if (code !== 0) return `the proxy host cannot be asked: ${err.trim() || `exit code ${code}`}`;
  return out.trim().split('\n').filter(Boolean).join('; ') || undefined;
}
