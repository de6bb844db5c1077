/** Loaded first, makes Node say that it runs on Windows. */
Object.defineProperty(process, 'platform', { value: 'win32' });
require('node:os').platform = () => 'win32';
