/** The YAML file of splice-socks, as text. */
import { SETTINGS } from './config-settings.js';
import type { SocksConfig } from './config-settings.js';
import { parseSettingsFile } from './config-yaml.js';
import type { FileValues } from './config-yaml.js';

/** Reads the text of a configuration file; never throws for what the text contains. */
export function parseConfigFile(text: string, file: string): FileValues<SocksConfig> {
  return parseSettingsFile({ name: 'splice-socks', settings: SETTINGS }, text, file);
}
