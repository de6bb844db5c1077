/** Bundles ENTRY into OUT with the webpack of WEBPACK, its other arguments as external. */
const path = require('node:path');

const [entry, out, ...externals] = process.argv.slice(2);
const webpack = require(process.env.WEBPACK);
webpack(
  {
    mode: 'production',
    target: 'node20',
    entry: path.resolve(entry),
    output: { path: path.dirname(path.resolve(out)), filename: path.basename(out) },
    externals: Object.fromEntries(externals.map((name) => [name, `commonjs ${name}`])),
  },
  (error, stats) => {
    console.log(error ?? stats.toString({ colors: false, modules: false, warnings: false }));
    process.exitCode = error || stats.hasErrors() ? 1 : 0;
  },
);
