/** The names of all settings of both servers, for tests that hold something against each of them. */
import { namesOf } from '../../src/server/config-table.js';
import { SETTINGS } from '../../src/server/config-settings.js';
import { HTTP_SETTINGS } from '../../src/server/http-settings.js';

export const SETTING_NAMES = namesOf({ settings: SETTINGS });
export const HTTP_SETTING_NAMES = namesOf({ settings: HTTP_SETTINGS });
