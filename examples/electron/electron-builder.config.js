/** Configuration of electron-builder: what is packed, and what lies beside the archive because it is opened by path. */
const { existsSync } = require('node:fs');
const path = require('node:path');
const { fetchLibtorch } = require('clipn-native');

module.exports = async () => {
  // Downloads once, and later finds its copy.
  const libtorch = process.env.CLIPN_LIBTORCH ?? path.dirname((await fetchLibtorch()).dir);
  if (existsSync(path.join(libtorch, 'lib/libtorch_cuda.so'))) {
    throw new Error(`${libtorch} is a CUDA build, gigabytes more: name one of \`clipn-native fetch --variant cpu\``);
  }
  return {
    appId: 'org.example.one-of-yours',
    productName: 'One of yours',
    files: ['*.js', 'page/**', '!electron-builder.config.js', '!node_modules/clipn-native-model-small'],
    asar: true,
    npmRebuild: false, // Node-API: the binaries for Node serve Electron
    // Not `**/*.node` alone: the core and libvips end in .so.
    asarUnpack: ['node_modules/clipn-native/prebuilds/**', 'node_modules/@img/**'],
    extraResources: [
      {
        from: libtorch,
        to: 'libtorch',
        filter: ['lib/lib{c10,gomp*,torch,torch_cpu}.so*', 'version.py', 'build-version'],
      },
      { from: require.resolve('clipn-native-model-small/model.pt'), to: 'model.pt' },
    ],
    linux: { target: 'AppImage', category: 'Graphics' },
  };
};
