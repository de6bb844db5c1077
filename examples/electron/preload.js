/** All that the page gets of Electron (messages.d.ts: Bridge). */
const { contextBridge, ipcRenderer, webUtils } = require('electron');

contextBridge.exposeInMainWorld('clipn', {
  send: (request) => ipcRenderer.send('request', request),
  onEvent: (listener) => ipcRenderer.on('event', (_, event) => listener(event)),
  pathOf: (file) => webUtils.getPathForFile(file),
  choose: (what) => ipcRenderer.invoke('choose', what),
});
