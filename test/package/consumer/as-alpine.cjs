/** Loaded first, makes Node and node-gyp-build say that they run on Alpine. */
const report = process.report.getReport();
delete report.header.glibcVersionRuntime;
process.report.getReport = () => report;
process.env.LIBC = 'musl';
