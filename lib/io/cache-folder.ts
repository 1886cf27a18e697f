import { homedir } from 'node:os';
import path from 'node:path';

/**
 * The folder for what may be deleted at any time: `$XDG_CACHE_HOME/hyper-bagel`, else `~/.cache/hyper-bagel`; on macOS
 * `~/Library/Caches/hyper-bagel`; on Windows `%LOCALAPPDATA%\hyper-bagel\Cache`. It need not exist. Undefined when the user has no home.
 */
export function cacheFolder(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: () => string = homedir,
): string | undefined {
  const { isAbsolute, join } = platform === 'win32' ? path.win32 : path.posix;
  // relative paths in these variables are to be ignored (XDG base directory specification)
  const given = (name: string) => {
    const value = env[name];
    return value && isAbsolute(value) ? value : undefined;
  };
  const atHome = (...parts: string[]) => {
    try {
      const folder = home();
      return isAbsolute(folder) ? join(folder, ...parts) : undefined;
    } catch {
      return undefined; // no entry for the user
    }
  };
  if (platform === 'win32') {
    const local = given('LOCALAPPDATA') ?? atHome('AppData', 'Local');
    return local && join(local, 'hyper-bagel', 'Cache');
  }
  const caches = given('XDG_CACHE_HOME') ?? (platform === 'darwin' ? atHome('Library', 'Caches') : atHome('.cache'));
  return caches && join(caches, 'hyper-bagel');
}
