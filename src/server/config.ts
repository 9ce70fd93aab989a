/**
 * Configuration of splice-socks: flags over file over defaults, checked as a whole. Called by the command line at
 * start and again at each SIGHUP; touches nothing but the file that --config names.
 */
import { checkPlaces, exposureMistake } from './config-checks.js';
import { loadSettings, restartSettings } from './config-load.js';
import type { ReadFile } from './config-load.js';
import { SETTING_GROUPS, SETTINGS } from './config-settings.js';
import type { SocksConfig } from './config-settings.js';
import type { FlagsOf, Program } from './config-table.js';

export { formatAddress, isLoopback } from './config-address.js';
export type { HostPort } from './config-address.js';
export { exposureMistake } from './config-checks.js';
export { configError } from './config-load.js';
export type { ReadFile } from './config-load.js';
export type { BackendChoice, LogFormat, LogLevel, SettingName, SocksConfig } from './config-settings.js';

export type FlagValues = FlagsOf<SocksConfig>;

export const SOCKS: Program<SocksConfig> = {
  name: 'splice-socks',
  groups: SETTING_GROUPS,
  settings: SETTINGS,
  checkTogether: (config, report) => {
    checkPlaces(config, { listen: config.listen }, report);
    const exposure = exposureMistake(config.listen, config);
    if (exposure !== undefined) report('listen', `listen: ${exposure}`);
  },
};

/** @throws ConfigError with every mistake that could be found, one per line; `file` and `line` are those of the first. */
export function loadConfig(flags: FlagValues, read?: ReadFile): Promise<SocksConfig> {
  return loadSettings(SOCKS, flags, read);
}

/** Settings that differ between two configurations and that a running server cannot change. */
export function changesThatNeedRestart(before: SocksConfig, after: SocksConfig): string[] {
  return restartSettings(SOCKS, before, after);
}
