/** Which proxy the environment names for a URL: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read as curl reads them. */

/** The proxy's URL, or null for a direct connection. The lower-case name of a variable wins over the upper-case one. */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): string | null {
  const setting = (name: string) => env[name.toLowerCase()] ?? env[name] ?? '';
  const proxy = setting(url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY');
  if (proxy === '') return null;
  const excluded = setting('NO_PROXY')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => covers(entry, url));
  if (excluded) return null;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

/** Whether an entry of NO_PROXY (`*`, `host`, `.domain`, `*.domain`, each with or without `:port`) means this URL. */
function covers(entry: string, url: URL): boolean {
  if (entry === '*') return true;
  const [, name = '', port] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase())!;
  const actual = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (port !== undefined && port !== actual) return false;
  const domain = name.replace(/^\*?\./, '');
  return domain !== '' && (url.hostname === domain || url.hostname.endsWith(`.${domain}`));
}
