/** The main process: opens the window, starts the worker beside it, and passes messages on. */
const path = require('node:path');
const { app, BrowserWindow, dialog, ipcMain, session, utilityProcess } = require('electron');

/** In a packed app the model and libtorch lie beside the archive: the system's loader reads neither inside it. */
function whatToOpen() {
  if (app.isPackaged) {
    const resource = (name) => path.join(process.resourcesPath, name);
    return { model: resource('model.pt'), libtorch: resource('libtorch') };
  }
  return { model: process.env.CLIPN_MODEL ?? require.resolve('clipn-native-model-small/model.pt') };
}

const DIALOGS = {
  photos: { properties: ['openFile', 'multiSelections'] },
  folder: { properties: ['openDirectory'] },
};

function start() {
  session.defaultSession.setPermissionRequestHandler((_contents, _permission, answer) => answer(false));
  const window = new BrowserWindow({
    width: 1200,
    height: 800,
    minWidth: 320,
    minHeight: 320,
    show: false,
    autoHideMenuBar: true,
    webPreferences: {
      preload: path.join(__dirname, 'preload.js'),
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
    },
  });
  const { webContents } = window;
  webContents.on('will-navigate', (event) => event.preventDefault());
  webContents.setWindowOpenHandler(() => ({ action: 'deny' }));
  window.once('ready-to-show', () => window.show());

  const worker = utilityProcess.fork(path.join(__dirname, 'utility.js'), [], { serviceName: 'clipn-native' });
  worker.postMessage({ type: 'open', ...whatToOpen() });

  const tell = (event) => {
    if (!window.isDestroyed()) webContents.send('event', event);
  };
  worker.on('message', tell);
  worker.on('exit', (code) => {
    const message = `The process that judges photos has ended (code ${code}).`;
    tell({ type: 'error', code: 'WORKER_ENDED', message, hint: 'Start the app again.' });
  });

  const isOurs = ({ senderFrame }) => senderFrame === webContents.mainFrame;
  ipcMain.on('request', (event, request) => {
    if (isOurs(event)) worker.postMessage(request);
  });
  ipcMain.handle('choose', async (event, what) => {
    if (!isOurs(event) || !Object.hasOwn(DIALOGS, what)) return [];
    return (await dialog.showOpenDialog(window, DIALOGS[what])).filePaths;
  });

  window.loadFile(path.join(__dirname, 'page/index.html'));
}

app.on('window-all-closed', () => app.quit());
app.whenReady().then(start);
