/**
 * Loaded before a program (`node --require`): kills the process (SIGKILL) at its write to the file system number
 * CLIPN_KILL_AT, counted from 1; of what that call would write, half is there. Without it, writes how many there were to
 * the file CLIPN_WRITES. What the core writes by itself is not counted.
 */
const fs = require('node:fs');
const { writeFileSync, writeSync, writeFileSync: whole } = fs;

const at = Number(process.env.CLIPN_KILL_AT ?? Number.POSITIVE_INFINITY);
let count = 0;

/** Half of what is to be written. */
function half(data) {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  return ArrayBuffer.isView(bytes)
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1)
    : Buffer.alloc(0);
}

function guard(object, name, writeHalf = () => {}) {
  const original = object[name];
  object[name] = function (...args) {
    if (++count === at) {
      writeHalf.call(this, ...args);
      process.kill(process.pid, 'SIGKILL');
    }
    return original.apply(this, args);
  };
}

const ofPath = (flag) => (path, data) => {
  if (typeof path !== 'object') whole(path, half(data), { flag });
};
const ofDescriptor = (fd, data) => {
  if (fd > 2) writeSync(fd, half(data));
};

// The handle of a promise; its class is not exported.
fs.promises.open(__filename, 'r').then((handle) => {
  const methods = Object.getPrototypeOf(handle);
  handle.close();
  for (const name of ['write', 'writeFile', 'appendFile']) {
    guard(methods, name, function (data) {
      ofDescriptor(this.fd, data);
    });
  }
  guard(methods, 'sync');
  guard(methods, 'truncate');
});

for (const name of ['rename', 'rm', 'rmdir', 'mkdir', 'mkdtemp', 'unlink', 'link', 'symlink', 'copyFile', 'truncate']) {
  guard(fs.promises, name);
  guard(fs, name);
  guard(fs, `${name}Sync`);
}
guard(fs.promises, 'writeFile', ofPath('w'));
guard(fs.promises, 'appendFile', ofPath('a'));
guard(fs, 'writeFileSync', ofPath('w'));
guard(fs, 'write', ofDescriptor);
guard(fs, 'writev');

process.on('exit', () => {
  if (process.env.CLIPN_WRITES) writeFileSync(process.env.CLIPN_WRITES, String(count));
});
